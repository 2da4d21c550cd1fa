"""The command line as a person uses it: a process, an own copy of the program, an own folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ("Pulumi.yaml", "__main__.py", "components", "stacks", "templates")


@dataclass(frozen=True)
class Said:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on standard error that a refusal consists of."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


Ferry = Callable[..., Said]


def copy_program(folder: Path) -> Path:
    project = folder / "program"
    project.mkdir()
    for name in PROGRAM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, project / name)
    return project


def run_ferry(folder: Path, *arguments: str | Path) -> Said:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ferry")), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def ferry(tmp_path: Path) -> Ferry:
    return lambda *arguments: run_ferry(tmp_path, *arguments)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_program(tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The example site, to be broken."""
    folder = tmp_path / "site"
    shutil.copytree(ROOT / "examples" / "site", folder)
    return folder / "site.yaml"
