"""From a site's own files to a plan: the example site, and the real inputs where they lie beside the checkout."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ferry.artefacts import Plan, read
from ferry.assess import assess
from ferry.planning import plan
from stacks.settings import Settings

ROOT = Path(__file__).parents[3]


def planned(site: Path, folder: Path) -> Plan:
    assess(site, artefact_folder=folder).write(folder / "assessment.yaml")
    plan(folder / "assessment.yaml", environment="prod", today=date(2026, 11, 24)).write(folder / "plan.yaml")
    return read(Plan, folder / "plan.yaml")


def test_the_example_site_moves_if_a_longer_trace_confirms_its_rates(tmp_path: Path) -> None:
    made = planned(ROOT / "examples" / "site" / "site.yaml", tmp_path)
    assert made.verdict == "conditional"
    assert [reason.text for reason in made.reasons if reason.says == "condition"] == [
        "a trace of a whole week confirms the rates before capacity is committed"
    ]
    assert (made.chosen.instance_type, made.region) == ("g6e.xlarge", "us-east-1")
    assert (made.chosen.min_size, made.chosen.max_size) == (2, 4)
    # 28 heads over four of eight accelerators
    assert {one.tensor_parallel for one in made.candidates if one.accelerators == 8 and one.fits} == {4}
    assert Settings.from_config(made.config).region == "us-east-1"


@pytest.mark.shared
def test_site_a_has_to_measure_before_it_decides(shared: Path, tmp_path: Path) -> None:
    """One line about one GPU says that the GPUs are busy; that would decide, so it has to be measured."""
    made = planned(shared / "inputs" / "site-a" / "site.yaml", tmp_path)
    assert made.verdict == "defer"
    deciding = [reason for reason in made.reasons if reason.says == "measure"]
    assert len(deciding) == 1
    assert "1 of 32 GPUs" in deciding[0].text
    assert "nvidia-smi --query-gpu=" in deciding[0].text
    assert (made.chosen.instance_type, made.chosen.tensor_parallel) == ("p5.4xlarge", 1)
    out = {one.instance_type: one.reason for one in made.candidates if not one.fits}
    assert out["g5.12xlarge"].startswith("needs 90 GiB (weights 61, ")
    assert {one.region for one in made.candidates if one.fits} == {"us-east-1", "us-west-2", "eu-north-1"}
    assert made.config["ferry:monitoring"]["monthly_budget_usd"] == "40000"
    assert Settings.from_config(made.config).model_versions[0].model == "chat"
