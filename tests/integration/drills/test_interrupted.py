"""A drill that is interrupted or killed: nothing goes on, and what was left is removed by the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ferry import ledger

ROOT = Path(__file__).parents[3]
PROGRAM = """
import time
from pathlib import Path
from ferry.cli import main
from ferry.drills import runner
from ferry.errors import RehearsalError

def waits(scene):
    (scene.scratch / "here").touch()
    Path("waiting").touch()
    time.sleep(600)

def misses(scene):
    raise RehearsalError("the program exports no group_names")

runner.DRILLS = {"waits": waits, "misses": misses}
main()
"""


@dataclass
class Run:
    process: subprocess.Popen[str]
    folder: Path

    def family(self) -> set[int]:
        """The process, its children and theirs, as they are now."""
        found, seen = [self.process.pid], set()
        while found:
            process = found.pop()
            seen.add(process)
            children = Path(f"/proc/{process}/task/{process}/children")
            found += [int(child) for child in children.read_text().split()] if children.exists() else []
        return seen

    def scratch(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "tmp").glob("ferry-drill-*"))


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    """`ferry drill NAME` on an almost empty program, in a folder with an own folder for what is temporary."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "project" / "stacks").mkdir(parents=True)
    (tmp_path / "project" / "components").mkdir()
    (tmp_path / "project" / "Pulumi.yaml").write_text("name: ferry\nruntime: python\n", encoding="utf-8")
    (tmp_path / "project" / "__main__.py").write_text("", encoding="utf-8")
    config = yaml.safe_load((ROOT / "stacks" / "Pulumi.dev.yaml").read_text(encoding="utf-8"))
    (tmp_path / "project" / "stacks" / "Pulumi.dev.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with ExitStack() as running:

        def start(name: str) -> Run:
            process = running.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PROGRAM, "drill", name, "--stack", "dev", "--project", tmp_path / "project"],
                    cwd=tmp_path,
                    env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            running.callback(process.kill)
            return Run(process, tmp_path)

        yield start


def waiting(run: Run) -> set[int]:
    """The processes of a drill that has begun: the command, the rehearsal, and the copy of its account."""
    until(lambda: (run.folder / "waiting").exists() or run.process.poll() is not None)
    assert run.process.poll() is None, run.process.communicate()
    family = run.family()
    assert len(family) == 3
    return family


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def alive(processes: set[int]) -> list[int]:
    return [process for process in processes if Path(f"/proc/{process}/cmdline").exists() and is_running(process)]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_drill_leaves_nothing(started: Callable[[str], Run], number: signal.Signals) -> None:
    run = started("waits")
    family = waiting(run)
    run.process.send_signal(number)
    run.process.communicate(timeout=60)
    assert run.process.returncode == 130
    until(lambda: not alive(family))
    assert run.scratch() == []
    assert sorted(path.name for path in run.folder.iterdir()) == ["project", "tmp", "waiting"]


def test_a_killed_drill_leaves_a_folder_that_the_next_removes_and_names(started: Callable[[str], Run]) -> None:
    run = started("waits")
    family = waiting(run)
    run.process.kill()
    run.process.wait()
    until(lambda: not alive(family))
    [left] = run.scratch()
    assert left.startswith(f"ferry-drill-{run.process.pid}-waits-")

    after = started("misses")
    said, notes = after.process.communicate(timeout=60)
    assert after.process.returncode == 3, notes
    assert f"removed {run.folder}/tmp/{left}, which a drill that was killed had left" in notes
    assert "misses: not recovered (target 15:00)" in said
    assert "missing: it could not be run: the program exports no group_names" in said
    assert after.scratch() == []
    [line] = ledger.read(run.folder)
    assert (line["verb"], line["result"], line["outputs"].keys()) == ("drill", "missed", {"drills.yaml"})
    assert line["figures"] == {"misses": "not recovered (target 15:00)"}
