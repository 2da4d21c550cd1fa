from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.plans import config

TINY = """
import pulumi
import pulumi_aws as aws

topic = aws.sns.Topic("alarms", tags={"owner": "site"})
pulumi.export("topic", topic.arn)
"""


@pytest.fixture(scope="session")
def tiny_project() -> Callable[..., Path]:
    """A project whose program makes one topic, or what is given, with the stack file `qa`."""

    def make(folder: Path, program: str = TINY, keys: dict[str, Any] | None = None) -> Path:
        (folder / "stacks").mkdir(parents=True)
        (folder / "__main__.py").write_text(program, encoding="utf-8")
        stack = {"config": config(audit={"mode": "COMPLIANCE"}) | (keys or {})}
        (folder / "stacks" / "Pulumi.qa.yaml").write_text(yaml.safe_dump(stack), encoding="utf-8")
        return folder

    return make
