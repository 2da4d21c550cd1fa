"""The alert rules of what stays at home: which can fire with the exporters of the site, and what each asks for.

A rule that could never fire is not written: it would look like a watch that nobody keeps. The file that it belongs to
names it, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ferry.artefacts import Plan
from ferry.catalog import xids
from ferry.catalog.xids import Xid
from ferry.errors import CatalogError, InvalidField
from templates import render

RULES = ("engine", "gateway", "xid", "gpu", "node", "network", "disk", "bmc")
EXPORTERS = {"dcgm": 9400, "node": 9100, "ipmi": 9290, "smartctl": 9633}
"""What may run on each server, by the job's name, and the port that it listens on by default."""
USUAL = ("dcgm", "node")
PROGRAMS = {
    "dcgm": "dcgm-exporter", "node": "node_exporter", "ipmi": "ipmi_exporter", "smartctl": "smartctl_exporter",
}  # fmt: skip
NO_DCGM = re.compile(r"\b(?:AMD|INSTINCT|MI\d{2,3}[A-Z]*|ASCEND)\b", re.IGNORECASE)
"""Accelerators that are not NVIDIA's."""
UNKNOWN_XID = "FerryGpuXidUnknown"

ACTIONS = {
    "watch": "nothing now, unless it comes back",
    "follow": "find the error before it, and act on that one",
    "restart-application": "restart the application",
    "recovery-action": "do what the driver asks for",
    "update-driver": "update the driver",
    "contact-support": "call the vendor",
    "check-link": "drain the server, reset the GPU, check the link",
    "check-power-cable": "drain the server, check the power cables of the board",
    "reset-gpu": "drain the server, reset the GPU",
    "restart-server": "drain the server, switch it off and on",
    "replace-gpu": "drain the server, replace the GPU (RMA)",
    "replace-memory": "drain the server, replace the memory module",
    "replace-disk": "copy what it holds, replace the disk",
    "free-space": "free space",
    "repair-filesystem": "drain the server, repair the file system",
    "check-cable": "check the cable and both its ends",
    "check-cooling": "check the fans and the air or water inlet",
    "check-power": "check the power supplies and their feeds",
    "check-power-limit": "check the power limit",
    "check-sensor": "read the controller's event log",
    "reach-controller": "reach the server by its management controller",
    "start-exporter": "start the exporter",
    "list-servers": "list the servers",
}
"""What an alert's `action` says; the alert's section of the runbook says how."""

_XID_ALERTS = {
    "watch": ("FerryGpuXidNoted", "info"),
    "follow": ("FerryGpuXidFollows", "info"),
    "restart-application": ("FerryGpuXidApplication", "info"),
    "recovery-action": ("FerryGpuXidRecovery", "warning"),
    "update-driver": ("FerryGpuXidDriver", "warning"),
    "contact-support": ("FerryGpuXidSupport", "warning"),
    "check-link": ("FerryGpuXidLink", "critical"),
    "check-power-cable": ("FerryGpuXidPower", "critical"),
    "reset-gpu": ("FerryGpuXidReset", "critical"),
    "restart-server": ("FerryGpuXidRestart", "critical"),
}
_CONTAINED = ("FerryGpuXidContained", "warning")
"""Restarting the application is all that is asked for, but the application was not at fault."""


@dataclass(frozen=True, kw_only=True)
class XidAlert:
    """An alert and the Xids that raise it, in the order of their codes; none: every code that the table lacks."""

    name: str
    severity: str
    action: str
    xids: tuple[Xid, ...] = ()

    @property
    def pattern(self) -> str:
        """A regular expression for the label `xid`."""
        return "|".join(str(each.code) for each in self.xids)

    @property
    def summary(self) -> str:
        """What a person reads first, as a Prometheus template: with the meaning of the code that was seen."""
        cases = [f'if eq $labels.xid "{each.code}" }}}}: {each.name}{{{{ ' for each in self.xids]
        meaning = "{{ " + "else ".join(cases) + "end }}" if cases else ", which the table does not have"
        return "GPU {{ $labels.gpu }} of {{ $labels.instance }} reports Xid {{ $labels.xid }}" + meaning


def xid_alert(code: int) -> XidAlert | None:
    """The alert that an Xid raises at home; None for one that says nothing is wrong (a test message)."""
    try:
        xid = xids.find(code)
    except CatalogError:
        return XidAlert(name=UNKNOWN_XID, severity="warning", action="contact-support")
    return next((each for each in xid_alerts() if xid in each.xids), None)


def xid_alerts() -> list[XidAlert]:
    """Every alert of a known Xid, from harmless to grave."""
    found: dict[tuple[str, str], list[Xid]] = {each: [] for each in (*_XID_ALERTS.values(), _CONTAINED)}
    for xid in xids.all_xids():
        if xid.action != "ignore":
            contained = xid.action == "restart-application" and xid.kind != "application"
            found[_CONTAINED if contained else _XID_ALERTS[xid.action]].append(xid)
    return [
        XidAlert(name=name, severity=severity, action=members[0].action, xids=tuple(members))
        for (name, severity), members in found.items()
    ]


def usual_exporters(plan: Plan) -> tuple[str, ...]:
    """The exporters of a site that names none: DCGM is for NVIDIA's GPUs alone."""
    cluster = plan.cluster
    names = f"{cluster.accelerator} {cluster.accelerator_seen or ''}" if cluster else ""
    return tuple(each for each in USUAL if each != "dcgm" or not NO_DCGM.search(names))


def exporters_named(text: str) -> tuple[str, ...]:
    """Exporters as a person writes them, `dcgm,node`. Raises InvalidField."""
    names = [each.strip() for each in text.split(",") if each.strip()]
    if unknown := sorted(set(names) - set(EXPORTERS)):
        raise InvalidField(
            f"{', '.join(unknown)}: no exporter that Ferry has rules for; choose of {', '.join(EXPORTERS)}"
        )
    return tuple(each for each in EXPORTERS if each in names)


def names(text: str) -> list[str]:
    """The alerts of a rule file."""
    return re.findall(r"^ +- alert: (\w+)$", text, re.MULTILINE)


def rule_files(values: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Rule files by name, and what was left out of them: alerts by the reason.

    `values` are those of the templates; of them `exporters` (job to port) and `gpus_per_node` decide.
    """
    values = {**values, "actions": ACTIONS, "xid_alerts": xid_alerts(), "unknown_xid": UNKNOWN_XID}
    values["known_xids"] = "|".join(str(each.code) for each in xids.all_xids())
    everything = {"exporters": EXPORTERS, "gpus_per_node": values["gpus_per_node"] or 1}
    missing = [job for job in EXPORTERS if job not in values["exporters"]]
    reasons: dict[str, dict[str, Any]] = {
        f"there is no {PROGRAMS[job]} at this site": {"exporters": _without(EXPORTERS, job)} for job in missing
    }
    if values["gpus_per_node"] is None:
        reasons["the plan does not say how many GPUs a server has"] = {"gpus_per_node": None}

    files: dict[str, str] = {}
    left_out: dict[str, list[str]] = {}
    for file in RULES:
        whole, own = _rules(file, {**values, **everything}), _rules(file, values)
        gone = [name for name in names(whole) if name not in names(own)]
        for reason, change in reasons.items():
            left = names(_rules(file, {**values, **everything, **change}))
            _take(left_out, reason, gone, [name for name in gone if name not in left])
        # What either of two exporters could tell needs both of them away.
        _take(left_out, f"there is no {' and no '.join(PROGRAMS[job] for job in missing)} at this site", gone, [*gone])
        lost = {reason: [name for name in found if name in names(whole)] for reason, found in left_out.items()}
        files[file] = _told({reason: found for reason, found in lost.items() if found}) + (
            own if names(own) else "groups: []\n"
        )
    return files, left_out


def _rules(file: str, values: Mapping[str, Any]) -> str:
    return render(f"hybrid/local/prometheus/rules/{file}.yaml.j2", **values)


def _without(exporters: Mapping[str, int], job: str) -> dict[str, int]:
    return {name: port for name, port in exporters.items() if name != job}


def _take(left_out: dict[str, list[str]], reason: str, gone: list[str], found: Iterable[str]) -> None:
    for name in found:
        left_out.setdefault(reason, []).append(name)
        gone.remove(name)


def _told(left_out: Mapping[str, list[str]]) -> str:
    return "".join(
        f"# Left out, since {reason} and they could never fire: {', '.join(found)}.\n"
        for reason, found in left_out.items()
    )
