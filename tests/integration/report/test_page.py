"""The page as a reader meets it: made from artefacts, and drawn by a browser without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ferry.artefacts import Check, Crossing, Drill, Drills, Moment, NotEmulated, Rehearsal, now
from ferry.assess import assess
from ferry.errors import StaleArtefact, UnreadableInput
from ferry.planning import plan
from ferry.report import Sources, report, sources
from tests.plans import make_plan

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def made(tmp_path: Path) -> Sources:
    assess(ROOT / "examples" / "site" / "site.yaml", artefact_folder=tmp_path).write(tmp_path / "assessment.yaml")
    decided = plan(tmp_path / "assessment.yaml", environment="prod", artefact_folder=tmp_path, today=date(2026, 11, 24))
    decided.write(tmp_path / "plan.yaml")
    return sources(tmp_path / "plan.yaml", None, None)


def rehearsal(**changes: object) -> Rehearsal:
    whole: dict[str, object] = {
        "schema": Rehearsal.SCHEMA,
        "made_at": now(),
        "environment": "prod",
        "region": "us-east-1",
        "front": "in-process",
        "emulator": "moto 5.2.5",
        "seconds": 7.5,
        "resources": {"aws:s3/bucket:Bucket": 3},
        "checks": [Check(name="one", passed=True, resource="a", expected="x", found="x")],
        "not_emulated": [NotEmulated(resource="r", property="p", why="forgets it")],
        "seeded": ["a certificate"],
        "conditions_evaluated": [],
        "outputs": {},
    }
    return Rehearsal.model_validate(whole | changes)


def test_the_assessment_is_the_one_that_the_plan_was_made_from(made: Sources) -> None:
    assert made.assessment == made.plan.parent / "assessment.yaml"
    assert made.rehearsal is None


def test_without_a_rehearsal_the_page_says_so(made: Sources) -> None:
    assert "No rehearsal was run." in report(made)


def test_a_rehearsal_beside_the_plan_is_taken_and_its_gaps_are_shown(made: Sources) -> None:
    rehearsal().write(made.plan.with_name("rehearsal.yaml"))
    page = report(sources(made.plan, None, None))
    assert "1 of 1 checks passed" in page
    assert "Accepted, not emulated: 1 properties" in page
    assert "forgets it" in page


def test_a_drill_beside_the_plan_is_drawn_and_its_assumed_times_are_marked(made: Sources) -> None:
    assert "Nothing was drilled." in report(made)
    moments = [
        Moment(at_s=0, phase="fault", what="a zone is lost", basis="measured", source="made here", clock="real"),
        Moment(at_s=60, phase="detected", what="<seen>", basis="assumed", source="AWS's guide", clock="simulated"),
    ]
    lost = Drill(name="zone-loss", fault="a zone is lost", target_s=900, timeline=moments, missing=["a second zone"])
    storm = Drill(name="spot-storm", fault="", target_s=900, timeline=[], skipped="no Spot")
    Drills(
        schema_=Drills.SCHEMA, made_at=now(), environment="prod", region="us-east-1", seconds=1, drills=[lost, storm]
    ).write(made.plan.with_name("drills.yaml"))
    page = report(sources(made.plan, None, None))
    assert "0 of 1 drills met their target" in page
    assert "not recovered (target 15:00)" in page
    assert "<td>&lt;seen&gt;</td>" in page
    assert '<p class="remedy bad">a second zone</p>' in page
    assert "<b>spot-storm</b> was skipped: no Spot" in page
    row = page[page.index("&lt;seen&gt;") : page.index("</tr>", page.index("&lt;seen&gt;"))]
    assert '<path class="hatch" d="M' in row
    assert '<span class="badge assumed">assumed</span>' in row


def test_what_was_done_to_traffic_is_a_row_each_or_said_to_be_left_out(made: Sources) -> None:
    rehearsal().write(made.plan.with_name("rehearsal.yaml"))
    assert "The crossing was left out of this rehearsal" in report(sources(made.plan, None, None))
    back = Crossing(name="roll back by hand", result="done", seconds=0.5, figures={"cloud_percent": 0})
    audit = Crossing(name="ship the audit", result="failed", seconds=0, why="the archive does not hold")
    rehearsal(crossing=[back, audit]).write(made.plan.with_name("rehearsal.yaml"))
    page = report(sources(made.plan, None, None))
    assert "<td>✓</td><td>roll back by hand</td>" in page
    assert "cloud percent 0" in page
    assert "<td>✗</td><td>ship the audit</td>" in page
    assert "failed: the archive does not hold" in page


def test_failed_checks_come_first(made: Sources) -> None:
    failed = Check(name="second", passed=False, resource="b", expected="x", found="y")
    rehearsal(checks=[*rehearsal().checks, failed]).write(made.plan.with_name("rehearsal.yaml"))
    page = report(sources(made.plan, None, None))
    assert "1 of 2 checks passed" in page
    assert page.index("<td>second</td>") < page.index("<td>one</td>")


def test_what_a_file_says_is_text_and_never_markup(made: Sources) -> None:
    rehearsal(seeded=["<script>alert(1)</script>"]).write(made.plan.with_name("rehearsal.yaml"))
    page = report(sources(made.plan, None, None))
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_page_is_not_made_from_a_plan_of_another_assessment(made: Sources) -> None:
    changed = made.assessment.read_text(encoding="utf-8")
    made.assessment.write_text(changed + "\n", encoding="utf-8")
    with pytest.raises(StaleArtefact):
        report(made)


def test_a_plan_that_names_no_source_needs_the_assessment_named(made: Sources, tmp_path: Path) -> None:
    make_plan().write(tmp_path / "lone.yaml")
    with pytest.raises(UnreadableInput, match="name the assessment with --assessment"):
        sources(tmp_path / "lone.yaml", None, None)


@pytest.mark.tool("chromium")
def test_a_browser_draws_the_page_and_misses_nothing(made: Sources, tmp_path: Path) -> None:
    rehearsal().write(made.plan.with_name("rehearsal.yaml"))
    page = tmp_path / "page.html"
    page.write_text(report(replace(made, rehearsal=made.plan.with_name("rehearsal.yaml"))), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    drawn = subprocess.run(
        [
            str(shutil.which("chromium")),
            *flags,
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "<h1>Go, on conditions</h1>" in drawn.stdout
    assert len(re.findall(r"<g class=\"box", drawn.stdout)) == 10
    # A page that asked for something, or whose code failed, leaves a line of its console here.
    assert not [text for text in drawn.stderr.splitlines() if "CONSOLE" in text]
