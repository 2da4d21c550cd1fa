from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ferry.errors import UnwritableOutput
from ferry.models.checksums import Digests
from ferry.models.journal import Journal
from ferry.models.tree import LocalFile, scan

DIGESTS = Digests(2500, "ab" * 32, "AAAAAAAAAAA=", ("AAAAAAAAAAA=",) * 3)


def later() -> int:
    return time.time_ns() + 10**10


@pytest.fixture
def file(folder: Callable[..., Path]) -> LocalFile:
    return scan(folder("source", {"model.bin": b"x" * 2500})).files[0]


def test_what_was_hashed_is_known_to_the_next_run(tmp_path: Path, file: LocalFile) -> None:
    Journal(tmp_path / "j", later).record(file, DIGESTS)
    assert Journal(tmp_path / "j", later).digests(file) == DIGESTS


def test_a_file_that_has_changed_is_not_known(tmp_path: Path, file: LocalFile) -> None:
    Journal(tmp_path / "j", later).record(file, DIGESTS)
    Path(file.source).write_bytes(b"y" * 2500)
    changed = scan(Path(file.source).parent).files[0]
    assert Journal(tmp_path / "j", later).digests(changed) is None


def test_a_file_that_was_not_still_for_two_seconds_is_not_recorded(tmp_path: Path, file: LocalFile) -> None:
    at = max(file.state.mtime_ns, file.state.ctime_ns)
    Journal(tmp_path / "j", lambda: at + 2 * 10**9 - 1).record(file, DIGESTS)
    assert not (tmp_path / "j").exists()
    Journal(tmp_path / "j", lambda: at + 2 * 10**9).record(file, DIGESTS)
    assert Journal(tmp_path / "j", later).digests(file) == DIGESTS


def test_a_line_that_was_cut_by_a_kill_is_passed_over(tmp_path: Path, file: LocalFile) -> None:
    path = tmp_path / "j"
    Journal(path, later).record(file, DIGESTS)
    whole = path.read_text()
    path.write_text(whole + whole[: len(whole) // 2])
    journal = Journal(path, later)
    assert journal.digests(file) == DIGESTS
    path.write_text(whole[: len(whole) // 2])
    assert Journal(path, later).digests(file) is None


def test_a_journal_does_not_grow_with_every_run(tmp_path: Path, file: LocalFile) -> None:
    path = tmp_path / "j"
    journal = Journal(path, later)
    for _ in range(200):
        journal.record(file, DIGESTS)
    Journal(path, later)
    assert len(path.read_text().splitlines()) == 1
    assert Journal(path, later).digests(file) == DIGESTS


def test_a_journal_that_cannot_be_written_says_where(tmp_path: Path, file: LocalFile) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(UnwritableOutput, match=r"state/j: cannot be written: .*; name another place with --state DIR"):
        Journal(tmp_path / "state" / "j", later).record(file, DIGESTS)
