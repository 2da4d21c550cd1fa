"""The lock of a write: waited for, and not for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ferry.errors import TrafficError, UnwritableOutput
from ferry.traffic.lock import locked


def test_a_lock_is_had_again_after_it_was_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "state" / "lock"):
            pass


def test_a_writer_that_does_not_let_go_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock"),
        pytest.raises(TrafficError, match=rf"locked for more than 0\.05 s by process {os.getpid()}, which hangs or"),
        locked(tmp_path / "lock", wait_seconds=0.05),
    ):
        pytest.fail("both have it")


def test_those_who_share_a_lock_keep_out_only_who_wants_it_alone(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock", shared=True),
        locked(tmp_path / "lock", 0, shared=True),
        pytest.raises(TrafficError, match="locked for more than"),
        locked(tmp_path / "lock", 0),
    ):
        pytest.fail("all have it")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableOutput, match="cannot be locked: "), locked(tmp_path / "file" / "lock"):
        pytest.fail("there is no such folder")
