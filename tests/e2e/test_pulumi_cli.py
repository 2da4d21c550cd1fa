"""What the Pulumi CLI makes of the project, before any provider is asked."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from stacks.settings import Settings

STACKS = ("dev", "staging", "prod", "prod-cn")


@pytest.mark.pulumi_cli
@pytest.mark.parametrize("stack", STACKS)
def test_the_cli_reads_each_stack_file_as_the_program_does(project: Path, tmp_path: Path, stack: str) -> None:
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": f"file://{tmp_path}",
        "PULUMI_CONFIG_PASSPHRASE": "of this test",
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }

    def pulumi(*arguments: str) -> str:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout

    expected = Settings.load(project / "stacks" / f"Pulumi.{stack}.yaml")
    pulumi("stack", "init", stack)
    shown = json.loads(pulumi("config", "--stack", stack, "--json"))
    config = {name: entry.get("objectValue", entry.get("value")) for name, entry in shown.items()}
    assert Settings.from_config(config) == expected
