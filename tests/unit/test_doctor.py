"""The doctor names what is missing and how to get it, and starts nothing that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry import doctor


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what the test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def found(name: str) -> doctor.Diagnosis:
    return next(one for one in doctor.examine() if one.name == name)


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_a_missing_program_comes_with_its_remedy(only: Path) -> None:
    shellcheck = found("shellcheck")
    assert shellcheck.found is None
    assert not shellcheck.required
    assert shellcheck.remedy == "apt install shellcheck"


def test_a_program_is_known_by_the_first_line_of_its_version(only: Path) -> None:
    put(only, "promtool", "echo 'promtool, version 2.42.0'; echo more")
    assert found("promtool").found == "promtool, version 2.42.0"


def test_a_program_that_hangs_counts_as_missing(only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "VERSION_TIMEOUT_S", 0.2)
    put(only, "promtool", "exec /bin/sleep 30")
    assert found("promtool").found is None


def test_what_the_rehearsal_needs_is_required(only: Path) -> None:
    required = {one.name for one in doctor.examine() if one.required}
    assert required == {"python >= 3.11", "the program", "pulumi", "pulumi-aws", "moto"}
    assert found("moto").found == "5.2.5"
