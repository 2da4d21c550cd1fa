"""The stacks that Ferry plans for a site: each drill meets its target there, as they are planned."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from ferry.artefacts import Drills
from ferry.assess import assess
from ferry.drills import runner
from ferry.drills.timings import Timings
from ferry.planning import plan
from ferry.rehearsal import serve
from ferry.render import render

ROOT = Path(__file__).resolve().parents[3]
WORKED_OUT = ("spike", "zone-loss", "region-loss", "spot-storm", "gpu-fault")
"""The drills that send nothing: their seconds are the same on every machine."""
PROGRAM = ("__main__.py", "components", "stacks", "templates", "Pulumi.yaml")


def drilled(site: Path, folder: Path, names: Sequence[str]) -> Drills:
    project = folder / "project"
    project.mkdir()
    for name in PROGRAM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, project / name)
    assess(site, artefact_folder=folder).write(folder / "assessment.yaml")
    decided = plan(folder / "assessment.yaml", environment="prod", artefact_folder=folder, today=date(2026, 11, 24))
    decided.write(folder / "plan.yaml")
    render(folder / "plan.yaml", project=project)
    with serve(folder / "plan.yaml", project, artefact_folder=folder) as served:
        return runner.run(
            served,
            names,
            timings=Timings(),
            target_s=900,
            weights=runner.weights_of(folder / "plan.yaml", force=False),
        )


def worked_out(drills: Drills) -> dict[str, str]:
    return {drill.name: drill.outcome for drill in drills.drills if drill.name in WORKED_OUT}


def test_the_example_site_recovers_from_each_in_time(tmp_path: Path) -> None:
    drills = drilled(ROOT / "examples" / "site" / "site.yaml", tmp_path, list(runner.DRILLS))
    assert worked_out(drills) == {
        "spike": "recovered after 12:25 (target 15:00)",
        "zone-loss": "recovered after 11:10 (target 15:00)",
        "region-loss": "recovered after 4:45 (target 15:00)",
        "spot-storm": "skipped: no fleet has a Spot Instance, at its largest size either",
        "gpu-fault": "recovered after 11:10 (target 15:00)",
    }
    assert drills.passed
    assert [upstream.path for upstream in drills.made_from] == ["plan.yaml", "project/stacks/Pulumi.prod.yaml"]


@pytest.mark.shared
def test_the_real_site_recovers_from_each_in_time(shared: Path, tmp_path: Path) -> None:
    drills = drilled(shared / "inputs" / "site-a" / "site.yaml", tmp_path, WORKED_OUT)
    assert worked_out(drills) == {
        "spike": "recovered after 14:13 (target 15:00)",
        "zone-loss": "recovered after 12:58 (target 15:00)",
        "region-loss": "recovered after 4:45 (target 15:00)",
        "spot-storm": "skipped: no fleet has a Spot Instance, at its largest size either",
        "gpu-fault": "recovered after 12:58 (target 15:00)",
    }
    assert drills.passed
