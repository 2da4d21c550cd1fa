from __future__ import annotations

import subprocess
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry.signing_key import verification_key
from stacks.settings import EngineSettings
from templates.node import NodeBoot


@pytest.fixture(scope="session")
def public_pem() -> str:
    return verification_key(Ed25519PrivateKey.generate())


@pytest.fixture(scope="session")
def openssl() -> None:
    """Pass the test over where `openssl` is not what a node has: macOS ships LibreSSL, which has no `-rawin`."""
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout
    if not version.startswith("OpenSSL 3"):
        pytest.skip(f"a node has OpenSSL 3, this machine {version.strip()}")


@pytest.fixture
def boot(public_pem: str) -> Any:
    """Make a NodeBoot, with the fields given in place of the usual ones."""

    def made(**fields: Any) -> NodeBoot:
        usual: dict[str, Any] = {
            "environment": "prod",
            "region": "cn-north-1",
            "partition": "aws-cn",
            "version_name": "blue",
            "group_name": "ferry-prod-blue",
            "lifecycle_hook_name": "node-ready",
            "model": "deepseek-r1-distill-qwen",
            "model_version": "2026.01",
            "bucket": "ferry-prod-models-0123456",
            "node_bundle_key": "bundles/0123456789abcdef/node-bundle.tar.gz",
            "verification_key": public_pem,
            "registry": "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "engine": EngineSettings(image="vllm:0.33"),
            "log_group": "ferry-prod-blue-logs-0123456",
        }
        return NodeBoot(**{**usual, **fields})

    return made
