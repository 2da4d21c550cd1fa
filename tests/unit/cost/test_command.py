"""`ferry cost` as it is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ferry.artefacts import Assessment, upstream
from ferry.cli import app
from ferry.errors import FerryError, InvalidField, StaleArtefact
from tests.plans import make_plan
from tests.unit.cost.sites import assessment


@pytest.fixture(autouse=True)
def _outside_of_any_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that prices which somebody refreshed are not read."""
    monkeypatch.chdir(tmp_path)


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["cost", *(str(argument) for argument in arguments)])


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    """A plan beside the assessment that it was made from."""
    site: Assessment = assessment()
    site.write(tmp_path / "assessment.yaml")
    made = make_plan(made_from=[upstream(tmp_path / "assessment.yaml", tmp_path)])
    chosen = made.chosen.model_copy(update={"min_size": 2, "max_size": 4, "mean_size": 3.0})
    path = tmp_path / "plan.yaml"
    made.model_copy(update={"chosen": chosen}).write(path)
    return path


def test_a_plan_is_enough_where_its_assessment_lies_beside_it(plan_file: Path) -> None:
    done = run(plan_file, "--horizon-months", 12, "--draws", 10, "--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert (document["site"], document["horizon_months"]) == ("test-site", 12)


def test_pictures_are_written_where_asked_and_nothing_else_is(plan_file: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    assert run(plan_file, "--draws", 10, "-o", tmp_path / "pictures").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "break-even.svg",
        "monte-carlo.svg",
        "tornado.svg",
        "total.svg",
    ]
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "pictures"])


def test_an_assessment_is_planned_in_memory(plan_file: Path) -> None:
    done = run(plan_file.with_name("assessment.yaml"), "--region", "us-east-1", "--draws", 10)
    assert done.exit_code == 0
    assert "total, USD" in done.stdout


def test_the_article_needs_no_file() -> None:
    done = run("--article", "--json")
    assert done.exit_code == 0
    assert len(json.loads(done.stdout)["claims"]) == 10


@pytest.mark.parametrize("arguments", [[], ["plan.yaml", "--article"]])
def test_either_a_file_or_the_article(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (
            ["--purchase", "barter"],
            InvalidField,
            "--purchase barter: expected on-demand, spot, savings-1yr, savings-3yr",
        ),
        (["--horizon-months", "0"], InvalidField, "--horizon-months 0: expected 1 to 240"),
        (["--rate", "7"], InvalidField, "--rate 7: expected two currencies"),
        (["--discount-rate", "nan"], InvalidField, "expected a year's rate from 0 to below 1"),
        (["--region", "us-east-1"], InvalidField, "is a plan and names both"),
    ],
)
def test_bad_options_are_refused(plan_file: Path, arguments: list[str], kind: type[FerryError], said: str) -> None:
    failed = run(plan_file, *arguments)
    assert isinstance(failed.exception, kind)
    assert said in str(failed.exception)


def test_an_assessment_that_changed_after_the_plan_is_refused(plan_file: Path) -> None:
    assessment(90).write(plan_file.with_name("assessment.yaml"))
    assert isinstance(run(plan_file).exception, StaleArtefact)
    assert run(plan_file, "--force", "--draws", 10).exit_code == 0
