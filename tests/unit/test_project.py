"""The program is found from where a person stands, or named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry.errors import InvalidField
from ferry.project import find_project, project_at


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "clone" / "components").mkdir(parents=True)
    (tmp_path / "clone" / "Pulumi.yaml").touch()
    (tmp_path / "clone" / "docs").mkdir()
    return tmp_path / "clone"


def test_the_program_is_found_from_any_folder_of_the_clone(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone / "docs")
    assert project_at(None) == clone


def test_another_pulumi_project_is_not_taken_for_ferrys(clone: Path) -> None:
    (clone / "docs" / "Pulumi.yaml").touch()
    assert find_project(clone / "docs") == clone


def test_outside_of_a_clone_the_error_names_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidField, match="here or above; run from Ferry's clone, or name the program with --project"):
        project_at(None)


def test_a_named_folder_has_to_be_the_program_itself(clone: Path) -> None:
    assert project_at(clone) == clone
    with pytest.raises(InvalidField, match=r"no Pulumi\.yaml with Ferry's components here; "):
        project_at(clone / "docs")
