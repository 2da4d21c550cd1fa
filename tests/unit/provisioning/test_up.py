"""`ferry up` and `ferry drift`, with a script in the place of the CLI."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ferry.cli import app
from ferry.errors import ProvisioningError
from ferry.provisioning.price import Bill
from ferry.provisioning.text import describe

REPOSITORY = Path(__file__).resolve().parents[3]
LB = "aws:lb/loadBalancer:LoadBalancer"
CREATED = {
    "op": "create",
    "urn": f"urn:pulumi:prod::ferry::{LB}::gateway",
    "newState": {"type": LB, "custom": True, "inputs": {}},
}
DRIFTED = {
    "op": "update",
    "urn": f"urn:pulumi:prod::ferry::{LB}::gateway",
    "oldState": {"type": LB, "custom": True, "inputs": {"idleTimeout": 60}},
    "newState": {"type": LB, "custom": True, "inputs": {"idleTimeout": 9}},
    "detailedDiff": {"idleTimeout": {"kind": "update"}},
}

Ferry = Callable[..., Any]


@pytest.fixture
def ferry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ferry:
    """Runs Ferry in an empty folder; the CLI answers each verb with the report that was given for it."""
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\ncd {tmp_path}\necho "$1" >> asked\n[ "$1" = up ] || cat "$1.json"\n', encoding="utf-8"
    )
    program.chmod(0o700)
    (tmp_path / "whoami.json").write_text('{"url": "https://api.pulumi.com"}', encoding="utf-8")
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, answer: str = "", **reports: list[Any]) -> Any:
        for verb, steps in reports.items():
            (tmp_path / f"{verb}.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
        return CliRunner().invoke(app, [*arguments, "--project", str(REPOSITORY)], input=answer)

    return run


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text(encoding="utf-8").split()


def test_what_was_previewed_is_done_once_it_is_agreed_to(ferry: Ferry, tmp_path: Path) -> None:
    done = ferry("up", "prod", answer="y\n", preview=[CREATED])
    assert done.exit_code == 0
    assert "1 to create" in done.output
    assert "policies: checked\n" in done.output
    assert "at its smallest size: 0 → 16 USD (+16)" in done.output.replace("\n", " ")
    assert asked(tmp_path) == ["whoami", "preview", "up"]
    (line,) = (tmp_path / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    assert (json.loads(line)["verb"], json.loads(line)["result"]) == ("up", "done")


def test_policies_that_wait_for_the_update_are_not_told_as_checked() -> None:
    def said(waiting: list[str] | None) -> str:
        console = Console(width=300, file=StringIO())
        console.print(describe("prod", [], (Bill(), Bill()), waiting))
        return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]

    assert (
        "policies: checked; of 2 some is asked in the update only, when AWS has told the values: no-star-rights, "
        "trail-watched; `ferry rehearse` asks them now\n"
    ) in said(["no-star-rights", "trail-watched"])
    assert "nothing was checked" in said(None)


def test_no_is_an_answer_and_changes_nothing(ferry: Ferry, tmp_path: Path) -> None:
    assert ferry("up", "prod", answer="n\n", preview=[CREATED]).exit_code == 3
    assert asked(tmp_path) == ["whoami", "preview"]


def test_a_saved_plan_is_only_written(ferry: Ferry, tmp_path: Path) -> None:
    assert ferry("up", "prod", "--save-plan", "plan.json", preview=[CREATED]).exit_code == 0
    assert asked(tmp_path) == ["whoami", "preview"]


def test_where_nothing_changes_nobody_is_asked(ferry: Ferry, tmp_path: Path) -> None:
    done = ferry("up", "prod", preview=[])
    assert (done.exit_code, "nothing changes" in done.output) == (0, True)
    assert asked(tmp_path) == ["whoami", "preview"]


def test_a_hosted_state_is_refused_for_the_mainland_before_anything_is_previewed(ferry: Ferry, tmp_path: Path) -> None:
    done = ferry("up", "prod-cn", preview=[CREATED])
    assert isinstance(done.exception, ProvisioningError)
    assert asked(tmp_path) == ["whoami"]


def test_drift_is_the_answer_no(ferry: Ferry) -> None:
    found = ferry("drift", "prod", "--json", refresh=[DRIFTED])
    assert found.exit_code == 3
    (difference,) = json.loads(found.stdout)["differences"]
    assert (difference["property"], difference["expected"], difference["found"]) == ("idleTimeout", "60", "9")
    assert ferry("drift", "prod", refresh=[]).exit_code == 0
