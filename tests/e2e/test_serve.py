"""`ferry rehearse --serve` keeps the account up for any AWS tool, and Ctrl-C ends it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.conftest import ROOT

BIN = Path(sys.executable).parent
SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from ferry.cli import main
sys.argv = ["ferry", *sys.argv[1:]]
main()
"""
"""A shell has background jobs ignore SIGINT, and what they start inherits it; a person's terminal does not."""


def test_an_aws_tool_sees_the_account_until_ctrl_c(tmp_path: Path) -> None:
    rehearse = ["rehearse", "--stack", "dev", "--project", str(ROOT), "--without-crossing", "--serve"]
    command = [sys.executable, "-c", SERVE, *rehearse]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            exports: dict[str, str] = {}
            for line in serving.stdout:
                if line.startswith("export "):
                    name, _, value = line.removeprefix("export ").strip().partition("=")
                    exports[name] = value
                if line.startswith("export AWS_EC2_METADATA_DISABLED"):
                    break
            answer = subprocess.run(
                [str(BIN / "aws"), "autoscaling", "describe-auto-scaling-groups"],
                env={**os.environ, **exports},
                capture_output=True,
                text=True,
                check=True,
            )
            (group,) = json.loads(answer.stdout)["AutoScalingGroups"]
            assert group["AutoScalingGroupName"] == "ferry-dev-r1-7b"
            serving.send_signal(signal.SIGINT)
            assert serving.wait(30) == 0
        finally:
            serving.kill()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", urlsplit(exports["AWS_ENDPOINT_URL"]).port or 0)) != 0
