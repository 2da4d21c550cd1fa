"""The whole hand-over in a rehearsed account, by the commands that a person types: push, promote, rollout, and back."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from ferry.cli import app
from ferry.models import rollout
from ferry.signing_key import save_signing_key
from stacks.settings import group_name
from tests.conftest import REPOSITORY, Rehearsed


def test_a_promoted_version_is_rolled_out_and_back(
    own_rehearsed: Callable[[str], Rehearsed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "POLL_SECONDS", 0)
    prod = own_rehearsed("prod")
    (tmp_path / "stacks").mkdir()
    (tmp_path / "components").mkdir()
    (tmp_path / "Pulumi.yaml").touch()
    file = tmp_path / "stacks" / "Pulumi.prod.yaml"
    shutil.copy(REPOSITORY / "stacks" / "Pulumi.prod.yaml", file)
    save_signing_key(tmp_path / ".ferry" / "signing-key.pem", Ed25519PrivateKey.generate())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "config.json").write_text("{}")
    serving = prod.stack.settings.model_versions[0]
    environment = {
        "AWS_ENDPOINT_URL": prod.account.endpoint_url,
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_DEFAULT_REGION": prod.stack.settings.region,
        "FERRY_MODEL_BUCKET": str(prod.stack.outputs["model_bucket"]),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }

    def ferry(*arguments: str) -> dict[str, Any]:
        ran = CliRunner().invoke(app, ["models", *arguments, "--json"], env=environment, catch_exceptions=False)
        assert ran.exit_code == 0, ran.output
        answer: dict[str, Any] = json.loads(ran.stdout)
        return answer

    def served() -> set[str]:
        """What new and present nodes are told to serve, by their user data."""
        autoscaling, ec2 = (prod.account.client(service) for service in ("autoscaling", "ec2"))
        name = group_name("prod", serving.name)
        (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        assert len(group["Instances"]) == group["DesiredCapacity"] > 0
        found = set()
        for node in group["Instances"]:
            template = node["LaunchTemplate"]
            (one,) = ec2.describe_launch_template_versions(
                LaunchTemplateId=template["LaunchTemplateId"], Versions=[template["Version"]]
            )["LaunchTemplateVersions"]
            text = base64.b64decode(one["LaunchTemplateData"]["UserData"]).decode()
            (line,) = (line.strip() for line in text.splitlines() if line.strip().startswith("MODEL_VERSION="))
            found.add(line.removeprefix("MODEL_VERSION="))
        return found

    def roll_out() -> dict[str, Any]:
        return ferry("rollout", serving.model, "--stack", "prod", "--channel", "stable", "--fleet", serving.name)

    for version in (serving.version, "next"):
        ferry("push", "source", "--name", serving.model, "--version", version)
        ferry("promote", f"{serving.model}@{version}", "--channel", "stable")
    assert served() == {serving.version}
    assert roll_out()["state"] == "in place"
    assert served() == {"next"}
    assert yaml.safe_load(file.read_text())["config"]["ferry:model_versions"][0]["version"] == "next"

    ferry("promote", serving.model, "--channel", "stable", "--previous")
    assert roll_out()["served"] == serving.version
    assert served() == {serving.version}
