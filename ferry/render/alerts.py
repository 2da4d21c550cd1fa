"""The alert rules of what stays at home: which can fire with the exporters of the site, and what each asks for.

A rule that could never fire is not written: it would look like a watch that nobody keeps. The file that it belongs to
names it, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
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
    files: dict[str, str] = {}
    left_out: dict[str, list[str]] = {}
    for file in RULES:
        text = _rules(file, values)
        lost = _left_out(file, values, present=names(text))
        told = "".join(
            f"# Left out, since {reason} and they could never fire: {', '.join(found)}.\n"
            for reason, found in lost.items()
        )
        files[file] = told + (text if names(text) else "groups: []\n")
        for reason, found in lost.items():
            left_out.setdefault(reason, []).extend(found)
    return files, left_out


def _left_out(file: str, values: Mapping[str, Any], *, present: Sequence[str]) -> dict[str, list[str]]:
    """The alerts that this file could have and has not, by the least of what is missing that explains it."""
    without = {f"there is no {PROGRAMS[job]} at this site": job for job in EXPORTERS if job not in values["exporters"]}
    if values["gpus_per_node"] is None:
        without["the plan does not say how many GPUs a server has"] = "gpus"
    gone = [name for name in names(_rules(file, _lacking(values, ()))) if name not in present]
    found: dict[str, list[str]] = {}
    for count in range(1, len(without) + 1):
        for reasons in combinations(without, count):
            left = names(_rules(file, _lacking(values, [without[reason] for reason in reasons])))
            if lost := [name for name in gone if name not in left]:
                found[" and ".join(reasons)] = lost
                gone = [name for name in gone if name in left]
            if not gone:
                return found
    return found


def _lacking(values: Mapping[str, Any], what: Sequence[str]) -> dict[str, Any]:
    """The values of a site that has everything but this."""
    exporters = {job: port for job, port in EXPORTERS.items() if job not in what}
    return {**values, "exporters": exporters, "gpus_per_node": None if "gpus" in what else values["gpus_per_node"] or 1}


def _rules(file: str, values: Mapping[str, Any]) -> str:
    return render(f"hybrid/local/prometheus/rules/{file}.yaml.j2", **values)
