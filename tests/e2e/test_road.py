"""The whole road by the command line: assess, plan, simulate, render, rehearse, report."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from ferry import ledger
from ferry.artefacts import Plan, Rehearsal, read
from tests.e2e.conftest import ROOT, Said, copy_program, run_ferry

ROAD = ("assess", "plan", "simulate", "render", "rehearse", "report")


@dataclass(frozen=True)
class Travelled:
    folder: Path
    said: dict[str, Said]


def travel(folder: Path, site: Path) -> Travelled:
    project = copy_program(folder)
    steps: dict[str, tuple[str | Path, ...]] = {
        "assess": (site,),
        "plan": ("assessment.yaml", "--env", "prod"),
        "simulate": ("plan.yaml",),
        "render": ("plan.yaml", "--project", project),
        "rehearse": ("plan.yaml", "--project", project, "--without-crossing"),
        "report": ("plan.yaml",),
    }
    return Travelled(folder, {verb: run_ferry(folder, verb, *arguments) for verb, arguments in steps.items()})


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Travelled:
    return travel(tmp_path_factory.mktemp("example"), ROOT / "examples" / "site" / "site.yaml")


@pytest.mark.xdist_group("example-road")
class TestTheExampleSite:
    def test_each_step_ends_well(self, example: Travelled) -> None:
        assert {verb: said.code for verb, said in example.said.items()} == dict.fromkeys(ROAD, 0), example.said

    def test_it_may_move_on_conditions(self, example: Travelled) -> None:
        assert read(Plan, example.folder / "plan.yaml").verdict == "conditional"
        assert "conditional: the move pays if the conditions below hold" in example.said["plan"].out

    def test_every_check_passes_in_the_rehearsed_account(self, example: Travelled) -> None:
        rehearsal = read(Rehearsal, example.folder / "rehearsal.yaml")
        assert [check for check in rehearsal.checks if not check.passed] == []
        assert len(rehearsal.checks) > 100
        assert len(rehearsal.resources) > 30

    def test_the_ledger_chains_the_steps(self, example: Travelled) -> None:
        steps = ledger.read(example.folder)
        assert [step["verb"] for step in steps] == list(ROAD)
        assert [step["forced"] for step in steps] == [False] * len(ROAD)

    def test_the_report_needs_no_other_file_and_no_server(self, example: Travelled) -> None:
        page = (example.folder / "report.html").read_text(encoding="utf-8")
        assert "<h1>Go, on conditions</h1>" in page
        assert not re.findall(r"""(?:src|href|url\()\s*=?\s*["']?(?:https?:|//)""", page)
        assert not re.findall(r"<(?:script|link|iframe)\b", page)
        pictures = re.findall(r"<img src=\"(.{0,26})", page)
        assert pictures == ["data:image/svg+xml;base64,"] * 6

    def test_the_private_key_is_in_nothing_that_was_written_but_its_own_file(self, example: Travelled) -> None:
        key = (example.folder / "program" / ".ferry" / "signing-key.pem").read_text()
        secret = key.splitlines()[1]
        holders = [
            path
            for path in example.folder.rglob("*")
            if path.is_file() and path.name != "signing-key.pem" and secret.encode() in path.read_bytes()
        ]
        assert holders == []


@pytest.mark.shared
def test_the_real_site_goes_the_whole_road(shared: Path, tmp_path: Path) -> None:
    real = travel(tmp_path, shared / "inputs" / "site-a" / "site.yaml")
    verdict = read(Plan, tmp_path / "plan.yaml").verdict
    assert verdict == "defer"
    assert {verb: said.code for verb, said in real.said.items()} == dict.fromkeys(ROAD, 0), real.said
    assert read(Rehearsal, tmp_path / "rehearsal.yaml").passed


def test_json_is_all_that_goes_to_standard_output(tmp_path: Path) -> None:
    site = ROOT / "examples" / "site" / "site.yaml"
    said = run_ferry(tmp_path, "assess", site, "--json")
    assert json.loads(said.out)["schema"] == "ferry/assessment/v1"
    said = run_ferry(tmp_path, "plan", "assessment.yaml", "--env", "dev", "--json")
    assert json.loads(said.out)["schema"] == "ferry/plan/v1"
