from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def config() -> Callable[..., dict[str, Any]]:
    """The smallest configuration that a stack accepts; keyword arguments replace `ferry:` sections."""

    def make(region: str = "us-east-1", **sections: Any) -> dict[str, Any]:
        ours: dict[str, Any] = {
            "environment": "dev",
            "gateway": {"domain_name": "llm.example.org"},
            "audit": {"mode": "disposable"},
            "model_versions": [
                {
                    "name": "blue",
                    "model": "mini",
                    "version": "v1",
                    "engine": {"image": "vllm:1"},
                    "fleet": {"instance_types": ["g5.xlarge"], "min_size": 1, "max_size": 1},
                }
            ],
            **sections,
        }
        return {"aws:region": region} | {f"ferry:{name}": value for name, value in ours.items()}

    return make
