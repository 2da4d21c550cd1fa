from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry import signing_key
from ferry.rehearsal import Served, serve_stack
from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.checks import Stack
from stacks.settings import Settings
from tests.certificates import authority
from tests.conftest import REPOSITORY, Rehearsed
from tests.plans import config

AGENT = "arn:aws:datasync:us-east-1:123456789012:agent/agent-0123456789abcdef0"
SIGNING_KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000"
SUBJECTS, MODELS = ["push-1.site.example", "push-2.site.example"], ["r1-32b", "r1-7b"]
PUBLIC_KEY = signing_key.verification_key(Ed25519PrivateKey.from_private_bytes(bytes(32)))
TIER = {
    "image": "envoy:v1.40.0",
    "domain_name": "api.example.com",
    "allowed_cidrs": ["198.51.100.0/24"],
    "home_engine": "10.1.2.3:8000",
    "record": {"zone_id": "Z0123456789", "name": "api.example.com", "weight": 25, "home_address": "203.0.113.10"},
}

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


@pytest.fixture(scope="session")
def full_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The production stack as `site`, with what a stack may leave out: site identity, DataSync, gateway."""
    project = tmp_path_factory.mktemp("site")
    (project / "stacks").mkdir()
    for name in ("__main__.py", "components", "ferry", "policies", "templates"):
        (project / name).symlink_to(REPOSITORY / name)
    for module in (REPOSITORY / "stacks").glob("*.py"):
        (project / "stacks" / module.name).symlink_to(module)
    stack = yaml.safe_load((REPOSITORY / "stacks" / "Pulumi.prod.yaml").read_text(encoding="utf-8"))
    stack["config"] |= {
        "ferry:site_identity": {
            "certificate_authority_pem": authority(),
            "subjects": SUBJECTS,
            "models": MODELS,
            "gateways": ["home"],
            "signing_key_arn": SIGNING_KEY,
        },
        "ferry:node_bundle": {"path": "node-bundle.tar.gz", "verification_key": PUBLIC_KEY},
        "ferry:gateway_tier": TIER,
        "ferry:data_sync": {
            "agent_arns": [AGENT],
            "nfs_server": "nas.site.example",
            "nfs_path": "/models/r1",
            "model": "r1-32b",
            "version": "2026-11-01",
            "limit_mbps": 800,
        },
    }
    for name in ("node-bundle.tar.gz", "gateway-bundle.tar.gz"):
        (project / name).write_bytes(name.encode())
        (project / f"{name}.sig").write_bytes(b"signature")
    stack["config"]["ferry:model_repository"]["governance_lock_days"] = 30
    stack["config"]["ferry:failover"]["min_size"] = 0
    file = project / "stacks" / "Pulumi.site.yaml"
    file.write_text(yaml.safe_dump(stack), encoding="utf-8")
    return project


@pytest.fixture(scope="session")
def full_stack(full_project: Path) -> Iterator[tuple[Served, Stack]]:
    """It, rehearsed once."""
    with serve_stack("site", full_project, artefact_folder=full_project) as running:
        settings = Settings.load(full_project / "stacks" / "Pulumi.site.yaml")
        yield running, Stack(settings, running.rehearsal.outputs)


@pytest.fixture
def own(full_stack: tuple[Served, Stack]) -> Iterator[Rehearsed]:
    """A copy of it that the test may change."""
    running, stack = full_stack
    with ExitStack() as until_the_end:
        endpoint_url = until_the_end.enter_context(running.copy())
        yield Rehearsed(running, EmbeddedAccount(endpoint_url, "us-east-1"), stack)
