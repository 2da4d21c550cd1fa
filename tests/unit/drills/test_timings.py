"""Durations: assumed with a source, or measured where a file says so."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from ferry.drills.timings import Duration, Timings
from ferry.errors import InvalidField, UnreadableInput


def written(folder: Path, text: str) -> Path:
    path = folder / "timings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_default_is_assumed_and_names_its_source() -> None:
    defaults = [getattr(Timings(), field.name) for field in fields(Timings)]
    given = [one for one in defaults if one is not None]
    assert {one.basis for one in given} == {"assumed"}
    assert all(one.source for one in given)


def test_what_a_file_says_is_measured_and_the_rest_stays_assumed(tmp_path: Path) -> None:
    path = written(tmp_path, "schema: ferry/timings/v1\nstart_seconds: 95\nmodel_seconds: 31.5\n")
    timings = Timings.load_file(path)
    assert timings.start == Duration(95, "measured", "timings.yaml")
    assert timings.model == Duration(31.5, "measured", "timings.yaml")
    assert timings.engine == Timings().engine


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("start_seconds: 95\n", "schema: Field required"),
        ("schema: ferry/timings/v1\nboot_seconds: 95\n", "boot_seconds: Extra inputs are not permitted"),
        ("schema: ferry/timings/v1\nstart_seconds: -1\n", "start_seconds: Input should be greater than or equal to 0"),
        ("schema: ferry/timings/v1\nstart_seconds: .inf\n", "start_seconds: Input should be a finite number"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidField, match=r"timings\.yaml: ") as raised:
        Timings.load_file(written(tmp_path, text))
    assert says in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match=r"none\.yaml: cannot be read"):
        Timings.load_file(tmp_path / "none.yaml")
