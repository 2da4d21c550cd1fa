"""Real file systems that are full, or read-only: small ones, mounted in a namespace of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("full_disk.py")
NAMESPACE = ["unshare", "--mount"]


def in_namespace(scenario: str, folder: Path) -> dict[str, Any]:
    probe = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if os.geteuid() or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("this machine does not let tests mount")
    ran = subprocess.run(
        [*NAMESPACE, sys.executable, PROGRAM, scenario, folder],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


@pytest.mark.tool("unshare")
def test_a_disk_that_fills_up_stops_the_pull_and_the_next_goes_on(tmp_path: Path) -> None:
    result = in_namespace("full", tmp_path)
    assert result["said"] == f"{tmp_path}/disk/r1: the disk is full; make room and pull again, it goes on from here"
    assert result["left"] == [".r1.partial"]
    assert result["pulled"] == [".r1.partial -> r1", 3_000_000]
    assert result["kept"] >= 1_000_000


@pytest.mark.tool("unshare")
def test_a_read_only_disk_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    result = in_namespace("read-only", tmp_path)
    assert result["said"] == (
        f"{tmp_path}/disk/.r1.partial: cannot be written: Read-only file system; name another folder"
    )
    assert result["left"] == []
