"""An artefact is trusted only as Ferry wrote it, from files that are still the same."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from pydantic import ValidationError

from ferry.artefacts import Artefact, Figure, Money, measured, now, read, unknown, upstream, write_whole
from ferry.errors import StaleArtefact, TamperedArtefact, UnknownSchema, UnreadableInput, UnwritableOutput


class Note(Artefact):
    SCHEMA: ClassVar[str] = "test/note/v1"

    text: str


@pytest.fixture
def written(tmp_path: Path) -> Path:
    source = tmp_path / "in" / "source.txt"
    write_whole(source, "as it was")
    path = tmp_path / "out" / "note.yaml"
    Note(schema=Note.SCHEMA, made_at=now(), made_from=[upstream(source, path.parent)], text="第一").write(path)
    return path


def test_an_artefact_reads_back_as_it_was_written(written: Path) -> None:
    note = read(Note, written)
    assert note.text == "第一"
    assert note.made_from[0].path == "../in/source.txt"
    assert len(note.digest) == 64


def test_an_edited_artefact_is_refused(written: Path) -> None:
    written.write_text(written.read_text().replace("第一", "第二"))
    with pytest.raises(TamperedArtefact, match=r"changed after Ferry wrote it.*--force"):
        read(Note, written)
    assert read(Note, written, force=True).text == "第二"


def test_an_artefact_whose_source_has_changed_is_refused(written: Path) -> None:
    (written.parent.parent / "in" / "source.txt").write_text("as it is now")
    with pytest.raises(StaleArtefact, match=r"source\.txt has changed since"):
        read(Note, written)
    assert read(Note, written, force=True).text == "第一"


def test_an_artefact_that_travels_alone_is_read(written: Path) -> None:
    (written.parent.parent / "in" / "source.txt").unlink()
    assert read(Note, written).text == "第一"


def test_an_unknown_schema_is_refused_even_when_forced(written: Path) -> None:
    document = yaml.safe_load(written.read_text()) | {"schema": "test/note/v2"}
    written.write_text(yaml.safe_dump(document))
    with pytest.raises(UnknownSchema, match=r"'test/note/v2', this Ferry reads 'test/note/v1'"):
        read(Note, written, force=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "expected keys and values at the top, found list"),
        ("!!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
def test_what_is_not_an_artefact_is_refused_on_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UnreadableInput, match=says) as caught:
        read(Note, path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="cannot be read"):
        read(Note, tmp_path / "none.yaml")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_has_to_outlive_a_power_failure_is_on_the_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "file", list[tuple[bool, bool]]()
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), path.exists()))
    )
    write_whole(path, "as an artefact")
    path.unlink()
    write_whole(path, "as a state", durable=True)
    assert synced == [(False, False), (True, True)]


def test_a_folder_or_a_device_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    with pytest.raises(UnwritableOutput, match="is a folder; name a file to write"):
        write_whole(tmp_path, "x")
    os.mkfifo(pipe := tmp_path / "pipe")
    with pytest.raises(UnwritableOutput, match="is a device or a pipe; name a file to write"):
        write_whole(pipe, "x")
    assert pipe.is_fifo()


def test_a_folder_in_the_place_of_a_file_and_other_encodings_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput) as refused:
        read(Note, tmp_path)
    assert str(refused.value) == f"{tmp_path}: cannot be read: Is a directory; name the file in it"
    (path := tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(UnreadableInput, match=r"is not text in UTF-8: .* at byte 9"):
        read(Note, path)


def test_a_figure_is_unknown_exactly_when_it_has_no_value() -> None:
    assert unknown("ms").value is None
    with pytest.raises(ValidationError, match="unknown exactly when it has no value"):
        Figure(value=1.0, unit="ms", basis="unknown")
    with pytest.raises(ValidationError, match="unknown exactly when it has no value"):
        Figure(unit="ms", basis="measured", source="x")
    with pytest.raises(ValidationError, match="names its source"):
        measured(1.0, "ms", "")


def test_a_lower_bound_stands_only_where_there_is_no_value_and_is_written_only_where_there_is_one() -> None:
    with pytest.raises(ValidationError, match="a figure with a value has no lower bound"):
        Figure(value=1.0, unit="ms", basis="measured", source="x", at_least=0.5)
    assert unknown("ms", "x", at_least=5.0).model_dump()["at_least"] == 5.0
    assert "at_least" not in unknown("ms").model_dump()


def test_an_amount_is_unknown_exactly_when_it_is_missing() -> None:
    with pytest.raises(ValidationError, match="unknown exactly when it is missing"):
        Money(currency="USD", basis="assumed", source="x")
