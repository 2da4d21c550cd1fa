"""`pulumi-resource-aws` for one run: a program on PATH that tells the engine where the provider listens already.

The engine starts it, reads a port from its first line, and ends it. The provider itself lives in the rehearsal's
process, beside the account: it needs no start, and what it saw is there when the engine is done.
"""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path

SCRIPT = """#!/bin/sh
# Ends with the engine that started it, or with the provider that it stands for, however those end.
echo {port}
while kill -0 {process} 2>/dev/null && kill -0 "$PPID" 2>/dev/null; do sleep 1; done
"""


def install(folder: Path, port: int) -> None:
    """Write the program into a folder that is then put in front of PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "pulumi-resource-aws"
    program.write_text(SCRIPT.format(port=port, process=os.getpid()), encoding="utf-8")
    program.chmod(0o700)


def sdk_version() -> str:
    """The version of the AWS plugin that the installed SDK asks the engine for."""
    told = json.loads(resources.files("pulumi_aws").joinpath("pulumi-plugin.json").read_text(encoding="utf-8"))
    return str(told["version"])
