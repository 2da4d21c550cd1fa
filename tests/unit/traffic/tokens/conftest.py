from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ferry.traffic.tokens import TokenFolder
from ferry.traffic.tokens.rotation import Rotated, rotate

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
ISSUER = "https://tokens.example/"


@pytest.fixture
def folder(tmp_path: Path) -> TokenFolder:
    """A gateway's folder with settings, and no key yet."""
    return with_settings(tmp_path)


def with_settings(path: Path, **changes: Any) -> TokenFolder:
    settings = {"issuer": ISSUER, "audience": "inference"} | changes
    (path / "tokens.yaml").write_text(yaml.safe_dump(settings))
    return TokenFolder.at(path)


@pytest.fixture
def rotated(folder: TokenFolder) -> Callable[..., Rotated]:
    """One call of `rotate`, so many seconds after the start."""

    def call(seconds: float, **options: Any) -> Rotated:
        return rotate(folder, now=lambda: START + timedelta(seconds=seconds), **options)

    return call
