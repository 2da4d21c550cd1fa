"""Nothing of a rehearsal outlives its parent, however that dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

# A shell that starts a job in the background has it ignore SIGINT, and so would everything that the job starts.
PARENT = """
import json, pathlib, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from ferry.rehearsal import serve_stack

folder = pathlib.Path(sys.argv[1])
with serve_stack("qa", folder / "project", artefact_folder=folder) as served, served.copy() as copy:
    print(json.dumps([served.endpoint_url, copy]), flush=True)
    time.sleep(600)
"""

IN_THE_MIDDLE = """
import pathlib, sys, time
pathlib.Path("reached").write_text(str(__import__("os").getpid()))
time.sleep(600)
"""


@contextmanager
def start(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(folder)], stdout=subprocess.PIPE, text=True) as parent:
        try:
            yield parent
        finally:
            parent.kill()


def is_listening(endpoint_url: str) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(endpoint_url).port or 0)) == 0


def is_running(process: int) -> bool:
    """Whether a process that is not ours to wait for runs; one that is dead and not yet collected does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in ("", "Z")


def becomes(true: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_account_and_its_copies_go_with_the_parent(
    tiny_project: Callable[..., Path], tmp_path: Path, how: signal.Signals
) -> None:
    tiny_project(tmp_path / "project")
    with start(tmp_path) as parent:
        assert parent.stdout is not None
        endpoints = json.loads(parent.stdout.readline())
        assert [is_listening(url) for url in endpoints] == [True, True]
        parent.send_signal(how)
        parent.wait(30)
    assert becomes(lambda: not any(is_listening(url) for url in endpoints))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_program_in_its_middle_goes_with_the_parent(
    tiny_project: Callable[..., Path], tmp_path: Path, how: signal.Signals
) -> None:
    project = tiny_project(tmp_path / "project", IN_THE_MIDDLE)
    with start(tmp_path) as parent:
        assert becomes((project / "reached").exists)
        child = int((project / "reached").read_text(encoding="utf-8"))
        assert is_running(child)
        os.kill(parent.pid, how)
        parent.wait(30)
    assert becomes(lambda: not is_running(child))
