"""The project as the CLI sees it in a rehearsal: the program itself, and a stack file, a state, a home of its own.

The CLI writes into stack files (the salt of its passphrase) and into its home. So the workspace is a folder of links to
everything in the project, with `Pulumi.yaml` and the stack file written anew, and nothing of the project is touched.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ferry.rehearsal.engine import plugin
from ferry.rehearsal.policies import PACK

STACKS = "stacks"
PACK_FILE = "PulumiPolicy.yaml"


class Workspace:
    """A folder in which `pulumi` works on one stack, with the state in a file beside it and no way to the network."""

    def __init__(self, folder: Path, project: Path, stack: str, port: int | None) -> None:
        """`port` is the provider's; without one, the AWS plugin that the user has installed is used."""
        self.stack = stack
        self.work_dir = folder / "project"
        self.state = folder / "state"
        for made in (self.work_dir / STACKS, self.state, folder / "home"):
            made.mkdir(parents=True, exist_ok=True)
        _link(project, self.work_dir, but={"Pulumi.yaml", STACKS, PACK})
        if (project / STACKS).is_dir():
            _link(project / STACKS, self.work_dir / STACKS, but={stack_file(stack)})
        (self.work_dir / "Pulumi.yaml").write_text(json.dumps(_project(project)), encoding="utf-8")
        self.policy_packs = _policy_packs(project / PACK, self.work_dir / PACK)
        self.variables = {
            "PULUMI_BACKEND_URL": f"file://{self.state}",
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex(16),  # of a state that ends with the rehearsal
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if port is not None:
            plugin.install(folder / "bin", port)
            path = os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", os.defpath)])
            self.variables |= {"PATH": path, "PULUMI_HOME": str(folder / "home")}

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write the stack's configuration; what the CLI keeps beside it stays."""
        path = self.work_dir / STACKS / stack_file(self.stack)
        kept = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**(kept or {}), "config": dict(config)}), encoding="utf-8")  # JSON is YAML


def stack_file(stack: str) -> str:
    """The name of a stack's file."""
    return f"Pulumi.{stack}.yaml"


def _project(project: Path) -> dict[str, Any]:
    """The project's own settings, with this interpreter's packages for the program."""
    path = project / "Pulumi.yaml"
    settings: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {"name": "ferry"}
    return {**settings, "stackConfigDir": STACKS, "runtime": _runtime()}


def _policy_packs(source: Path, folder: Path) -> list[str]:
    """The project's policy pack with this interpreter's packages, as an option of the CLI; none where it has none."""
    if not (source / PACK_FILE).is_file():
        return []
    folder.mkdir(exist_ok=True)
    _link(source, folder, but={PACK_FILE})
    settings = yaml.safe_load((source / PACK_FILE).read_text(encoding="utf-8"))
    (folder / PACK_FILE).write_text(json.dumps({**settings, "runtime": _runtime()}), encoding="utf-8")
    return [str(folder)]


def _runtime() -> dict[str, Any]:
    """The interpreter that runs now: the one that a project names, relative to itself, is not beside the workspace."""
    own = {"virtualenv": sys.prefix} if sys.prefix != sys.base_prefix else {}
    return {"name": "python", "options": {"toolchain": "pip", **own}}


def _link(source: Path, folder: Path, but: set[str]) -> None:
    for entry in source.iterdir():
        if entry.name not in but and not entry.name.startswith(".") and entry.name != "__pycache__":
            (folder / entry.name).symlink_to(entry.resolve())
