"""Each alert for hardware fires at its boundary, not just below, and says what to do; what cannot fire is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ferry.catalog import xids
from ferry.errors import InvalidField
from ferry.render import render
from ferry.render.alerts import EXPORTERS, exporters_named, usual_exporters, xid_alert
from tests.gpu_faults import GPU_FAULTS, GPU_OTHER_WAYS
from tests.plans import empty_project, make_plan, write_plan
from tests.promtool import alert, check, check_firing, fires, promtool, rules
from tests.server_faults import SERVER_FAULTS, SERVER_OTHER_WAYS

HARDWARE = ("bmc", "disk", "gpu", "network", "node", "xid")
FAULTS = GPU_FAULTS | SERVER_FAULTS
OTHER_WAYS = GPU_OTHER_WAYS | SERVER_OTHER_WAYS
Render = Callable[..., Path]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render with these exporters; gives the folder `local/`. The same is rendered once."""
    made: dict[str, Path] = {}

    def run(*exporters: str, **changes: Any) -> Path:
        key = repr((exporters, changes))
        if key not in made:
            folder = tmp_path_factory.mktemp("site")
            project = empty_project(folder / "project")
            plan = write_plan(folder / "plan.yaml", **changes)
            render(plan, project=project, exporters=exporters or tuple(EXPORTERS))
            made[key] = project / "build" / "qa" / "local"
        return made[key]

    return run


def raised(names: list[str]) -> Iterator[tuple[dict[str, str], list[dict[str, Any]]]]:
    for name in names:
        fault = FAULTS[name]
        told = fires(fault.severity, name, fault.summary, fault.action, **fault.labels)
        before = [alert(name, fault.at - 1)] if fault.at else []
        after = [] if fault.until is None else [alert(name, fault.until, told), alert(name, fault.until + 1)]
        yield fault.above, [*before, alert(name, fault.at, told), *after]
        for below in fault.below:
            yield below, [alert(name, minute) for minute in (fault.at, fault.at + 1, fault.at + 20)]


@pytest.mark.tool("promtool")
@pytest.mark.parametrize("file", [file for file in HARDWARE if file != "xid"])
def test_an_alert_fires_at_its_boundary_and_not_below_it(rendered: Render, tmp_path: Path, file: str) -> None:
    names = [rule["alert"] for rule in rules(rendered(), file)]
    check(rendered() / "prometheus" / "rules" / f"{file}.yaml", tmp_path, *raised(names))


@pytest.mark.tool("promtool")
@pytest.mark.parametrize("file", [file for file in HARDWARE if file != "xid"])
def test_every_further_fault_that_an_alert_stands_for_raises_it(rendered: Render, tmp_path: Path, file: str) -> None:
    names = [rule["alert"] for rule in rules(rendered(), file) if rule["alert"] in OTHER_WAYS]
    ways = [(FAULTS[name].at, name, way) for name in names for way in OTHER_WAYS[name]]
    check_firing(rendered() / "prometheus" / "rules" / f"{file}.yaml", tmp_path, *ways)


def test_every_alert_for_hardware_has_a_fault_that_raises_it(rendered: Render) -> None:
    tested = {*FAULTS, *(name for name in named(rendered()) if name.startswith("FerryGpuXid"))}
    assert {rule["alert"] for rule in rules(rendered(), *HARDWARE) if "alert" in rule} == tested


def named(local: Path) -> list[str]:
    return [rule["alert"] for rule in rules(local) if "alert" in rule]


@pytest.mark.parametrize("exporters", [tuple(EXPORTERS), ("node",), ("dcgm",), ("ipmi",)])
def test_every_alert_has_a_severity_and_a_section_of_the_runbook(rendered: Render, exporters: tuple[str, ...]) -> None:
    local = rendered(*exporters)
    headings = re.findall(r"^### (Ferry\w+)$", (local / "runbook.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(named(local))
    for rule in rules(local):
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"critical", "warning", "info"}
            assert rule["annotations"]["runbook"] == f"runbook.md#{rule['alert'].lower()}"
    assert all(rule["annotations"]["action"] for rule in rules(local, *HARDWARE) if "alert" in rule)


def test_the_exporters_list_has_every_gpu_counter_that_a_rule_reads(rendered: Render) -> None:
    lines = (rendered() / "prometheus/dcgm-counters.csv").read_text().splitlines()
    listed = [line.split(", ") for line in lines if not line.startswith("#")]
    # dcgm-exporter refuses the whole list for a line that has not three fields.
    assert {len(line) for line in listed} == {3}
    assert {kind for _, kind, _ in listed} == {"gauge", "counter"}
    read = set(re.findall(r"DCGM_\w+", " ".join(rule["expr"] for rule in rules(rendered()))))
    assert len(read) == 22
    assert read <= {name for name, _, _ in listed}


def test_what_no_exporter_of_the_site_can_tell_is_left_out_and_named(rendered: Render) -> None:
    local, whole = rendered("node"), rendered()
    gone = set(named(whole)) - set(named(local))
    assert {name for name in named(local) if "Gpu" in name or "Bmc" in name} == set()
    told: dict[str, list[str]] = {}
    for path in sorted((local / "prometheus/rules").glob("*.yaml")):
        lines = re.findall(
            r"^# Left out, since (.+) and they could never fire: (.+)\.$", path.read_text(), re.MULTILINE
        )
        for reason, names in lines:
            told.setdefault(reason, []).extend(names.split(", "))
    assert {name for names in told.values() for name in names} == gone
    assert {reason for reason, names in told.items() if "FerryGpuXidReset" in names} == {
        "there is no dcgm-exporter at this site"
    }
    assert told["there is no ipmi_exporter at this site"] == [name for name in named(whole) if "Bmc" in name]
    readme = (local / "README.md").read_text()
    assert "* there is no smartctl_exporter at this site: FerryDiskExporterDown\n" in readme
    assert not (local / "prometheus/dcgm-counters.csv").exists()
    assert yaml.safe_load((local / "prometheus/rules/gpu.yaml").read_text()) == {"groups": []}


@pytest.mark.tool("promtool")
@pytest.mark.parametrize("exporters", [tuple(EXPORTERS), ("node",), ("dcgm",), ("ipmi",)])
def test_promtool_accepts_what_is_left(rendered: Render, exporters: tuple[str, ...]) -> None:
    folder = rendered(*exporters) / "prometheus"
    promtool("check", "config", "prometheus.yaml", cwd=folder)
    jobs = [each["job_name"] for each in yaml.safe_load((folder / "prometheus.yaml").read_text())["scrape_configs"]]
    assert jobs == ["engine", "gateway", *exporters]


def test_what_two_exporters_could_tell_is_left_out_only_where_both_are_away(rendered: Render) -> None:
    assert "FerryNodeDiskWorn" in named(rendered("node"))
    disk = (rendered("ipmi") / "prometheus/rules/disk.yaml").read_text()
    reason = "there is no node_exporter at this site and there is no smartctl_exporter at this site"
    assert (
        f"# Left out, since {reason} and they could never fire: "
        "FerryNodeDiskWorn, FerryNodeDiskMediaErrors, FerryNodeDiskFailing.\n"
    ) in disk


def test_a_plan_without_servers_has_no_number_of_gpus_to_miss_one_of(rendered: Render) -> None:
    local = rendered("dcgm", "node", cluster=None)
    assert "FerryGpuLost" not in named(local)
    first = (local / "prometheus/rules/gpu.yaml").read_text().splitlines()[0]
    assert first == (
        "# Left out, since the plan does not say how many GPUs a server has and they could never fire: FerryGpuLost."
    )


@pytest.mark.parametrize(
    ("accelerator", "seen", "exporters"),
    [
        ("A100-SXM4-80GB", None, ("dcgm", "node")),
        ("AMD Instinct MI300X", None, ("node",)),
        ("MI250", None, ("node",)),
        ("8 GPUs", "Ascend 910B", ("node",)),
    ],
)
def test_dcgm_is_not_expected_where_the_gpus_are_not_nvidias(
    accelerator: str, seen: str | None, exporters: tuple[str, ...]
) -> None:
    cluster = make_plan().cluster
    assert cluster
    changed = cluster.model_copy(update={"accelerator": accelerator, "accelerator_seen": seen})
    assert usual_exporters(make_plan(cluster=changed)) == exporters
    assert usual_exporters(make_plan(cluster=None)) == ("dcgm", "node")


def test_the_runbook_speaks_the_language_of_the_sites_scheduler(rendered: Render) -> None:
    text = (rendered() / "runbook.md").read_text()
    assert "scontrol update nodename=SERVER state=drain" in text
    assert "kubectl" not in text
    other = [job.model_copy(update={"launcher": "kubeflow"}) for job in make_plan().training]
    text = (rendered(training=other) / "runbook.md").read_text()
    assert "kubectl drain SERVER --ignore-daemonsets" in text
    assert "scontrol" not in text
    text = (rendered(training=[]) / "runbook.md").read_text()
    assert "names no job under Slurm or Kubernetes" in text


def test_the_runbook_has_the_table_of_all_codes(rendered: Render) -> None:
    text = (rendered() / "runbook.md").read_text()
    assert "| 79 | GPU has fallen off the bus | board | RESTART_BM | drain the server, switch it off and on |\n" in text
    codes = re.findall(r"^\| (\d+) \| ", text, re.MULTILINE)
    assert [int(code) for code in codes] == [each.code for each in xids.all_xids()]


def test_an_unknown_exporter_is_refused_with_those_that_there_are() -> None:
    assert exporters_named("node, dcgm") == ("dcgm", "node")
    with pytest.raises(InvalidField, match=r"telegraf: no exporter .* choose of dcgm, node, ipmi, smartctl"):
        exporters_named("dcgm,telegraf")


def test_a_code_has_one_alert_or_none() -> None:
    found = xid_alert(79)
    assert found is not None
    assert (found.name, found.severity, found.action) == ("FerryGpuXidRestart", "critical", "restart-server")
    assert xid_alert(106) is None
    unknown = xid_alert(999)
    assert unknown is not None
    assert unknown.name == "FerryGpuXidUnknown"
