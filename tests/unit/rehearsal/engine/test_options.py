"""What `ferry rehearse` refuses before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ferry.cli import app

REPOSITORY = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a PLAN, or --stack ENV, or --from STACK --to STACK"),
        (["--from", "dev"], "give a PLAN, or --stack ENV, or --from STACK --to STACK"),
        (["--stack", "dev", "--from", "dev", "--to", "dev"], "give a PLAN, or --stack ENV, or --from STACK --to STACK"),
        (["--stack", "dev", "--provider", "official"], "--provider official needs --engine pulumi"),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["rehearse", *arguments, "--project", str(REPOSITORY)])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("dev", "staging", "is of the environment dev and"),
        ("dev", "dev", "`pulumi` is not on PATH; `ferry doctor` says how to get it"),
    ],
)
def test_a_change_needs_one_environment_and_the_cli(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str, after: str, said: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(
        app, ["rehearse", "--from", before, "--to", after, "--project", str(REPOSITORY), "-o", str(tmp_path / "r.yaml")]
    )
    assert said in str(done.exception)
