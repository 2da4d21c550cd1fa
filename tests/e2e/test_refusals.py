"""What is wrong is said on one line, with the remedy; the exit code is 1, and no file is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ferry.artefacts import Plan, digest_of, read_yaml
from tests.e2e.conftest import Ferry

NCCL = "nccl_all_reduce_2x8.log"


def truncated_log(site: Path) -> None:
    log = site.parent / NCCL
    log.write_bytes(log.read_bytes()[:-400])


def unreadable_log(site: Path) -> None:
    (site.parent / NCCL).write_bytes(b"\xff\xfe\x00 not a log")


def missing_shards(site: Path) -> None:
    shard = next((site.parent / "model").glob("*.safetensors"))
    header = b"{}      "
    shard.write_bytes(len(header).to_bytes(8, "little") + header)
    for other in (site.parent / "model").glob("*.safetensors"):
        if other != shard:
            other.unlink()


def unknown_key(site: Path) -> None:
    site.write_text(site.read_text().replace("gpus_per_node:", "gpu_per_node:"))


def unknown_region(site: Path) -> None:
    document = yaml.safe_load(site.read_text())
    document["constraints"]["regions_allowed"] = ["us-east-9"]
    site.write_text(yaml.safe_dump(document))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncated_log, NCCL),
        (unreadable_log, NCCL),
        (missing_shards, "shard"),
        (unknown_key, "gpu_per_node"),
    ],
)
def test_a_damaged_site_is_refused(ferry: Ferry, site: Path, damage: Callable[[Path], None], says: str) -> None:
    damage(site)
    said = ferry("assess", site, "-o", "out/assessment.yaml")
    assert said.code == 1
    assert says in said.error
    assert not (site.parents[1] / "out").exists()


def test_a_region_that_nobody_knows_is_refused(ferry: Ferry, site: Path, tmp_path: Path) -> None:
    unknown_region(site)
    assert ferry("assess", site).code == 0
    said = ferry("plan", "assessment.yaml", "--env", "dev")
    assert said.code == 1
    assert "us-east-9" in said.error
    assert not (tmp_path / "plan.yaml").exists()


@pytest.fixture
def planned(ferry: Ferry, site: Path, tmp_path: Path) -> Path:
    assert ferry("assess", site).code == 0
    assert ferry("plan", "assessment.yaml", "--env", "dev").code == 0
    return tmp_path / "plan.yaml"


def edited(plan: Path, edit: Callable[[dict[str, object]], None], *, sign: bool = True) -> None:
    document = read_yaml(plan)
    edit(document)
    if sign:
        document["digest"] = digest_of(document)
    plan.write_text(yaml.safe_dump(document, sort_keys=False))


def two_nodes(document: dict[str, object]) -> None:
    document["nodes_per_replica"] = 2


def crossed_thresholds(document: dict[str, object]) -> None:
    document["config"]["ferry:model_versions"][0]["fleet"]["scaling"]["scale_out_above"] = 0.2  # type: ignore[index]


def short_retention(document: dict[str, object]) -> None:
    document["config"]["ferry:audit"] = {"mode": "COMPLIANCE", "retention_days": 180}  # type: ignore[index]


def nothing(document: dict[str, object]) -> None:
    document["environment"] = "staging"


@pytest.mark.parametrize(
    ("edit", "sign", "says"),
    [
        (two_nodes, True, r"more than one node|nodes"),
        (crossed_thresholds, True, r"0\.2.*0\.3|0\.3.*0\.2"),
        (short_retention, True, r"180.*184|184.*180"),
        (nothing, False, r"changed after Ferry wrote it.*--force"),
    ],
)
def test_a_plan_that_cannot_be_rendered_is_refused(
    ferry: Ferry, planned: Path, project: Path, edit: Callable[[dict[str, object]], None], sign: bool, says: str
) -> None:
    edited(planned, edit, sign=sign)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    said = ferry("render", planned, "--project", project)
    assert said.code == 1
    assert re.search(says, said.error), said.error
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_a_plan_that_says_stay_is_rendered_only_when_overridden(ferry: Ferry, planned: Path, project: Path) -> None:
    edited(planned, lambda document: document.update(verdict="stay"))
    said = ferry("render", planned, "--project", project)
    assert (said.code, "--override-verdict" in said.error) == (1, True)
    assert ferry("render", planned, "--project", project, "--override-verdict").code == 0
    last = (planned.parent / "ledger.jsonl").read_text().splitlines()[-1]
    assert '"result": "verdict overridden"' in last


def test_a_rehearsal_before_the_render_names_the_command(ferry: Ferry, planned: Path, project: Path) -> None:
    said = ferry("rehearse", planned, "--project", project)
    assert said.code == 1
    assert "ferry render" in said.error


def test_retention_of_180_days_in_a_stack_file_is_refused(ferry: Ferry, project: Path, tmp_path: Path) -> None:
    stack = project / "stacks" / "Pulumi.prod.yaml"
    stack.write_text(re.sub(r" retention_days: \d+", " retention_days: 180", stack.read_text()))
    said = ferry("rehearse", "--stack", "prod", "--project", project)
    assert said.code == 1
    assert "180" in said.error
    assert not (tmp_path / "rehearsal.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["plan", "x.yaml"], "Missing option '--env'"),
        (["rehearse"], "give a PLAN, or --stack ENV, or --from STACK --to STACK"),
        (["rehearse", "x.yaml", "--stack", "dev"], "give a PLAN, or --stack ENV, or --from STACK --to STACK"),
        (["asses"], "No such command 'asses'"),
        (["assess", "site.yaml", "--colour"], "No such option"),
    ],
)
def test_wrong_usage_exits_with_2(ferry: Ferry, arguments: list[str], says: str) -> None:
    said = ferry(*arguments)
    assert said.code == 2
    assert says in said.err


def test_a_missing_file_is_an_error_not_a_traceback(ferry: Ferry) -> None:
    said = ferry("assess", "nowhere.yaml")
    assert said.code == 1
    assert said.error.startswith("ferry: nowhere.yaml: cannot be read")


def test_plans_of_another_kind_are_refused(ferry: Ferry, planned: Path, tmp_path: Path) -> None:
    said = ferry("report", tmp_path / "assessment.yaml", "--assessment", tmp_path / "assessment.yaml")
    assert said.code == 1
    assert f"this Ferry reads '{Plan.SCHEMA}'" in said.error


def test_a_place_that_cannot_be_written_is_named(ferry: Ferry, site: Path, tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("")
    said = ferry("assess", site, "-o", "a-file/assessment.yaml")
    assert (said.code, said.out) == (1, "")
    assert said.error == ("ferry: a-file/assessment.yaml: cannot be written: File exists; name another place for it")
