"""A copy of the example site that a test may break."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "site"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """site.yaml of a copy of the example site, alone in its folder."""
    shutil.copytree(EXAMPLE, tmp_path / "site")
    return tmp_path / "site" / "site.yaml"


@pytest.fixture
def change_site(site: Path) -> Callable[[Callable[[dict[str, Any]], object]], Path]:
    """Rewrite the copied site.yaml by a function of its content."""

    def change(edit: Callable[[dict[str, Any]], object]) -> Path:
        document = yaml.safe_load(site.read_text(encoding="utf-8"))
        edit(document)
        site.write_text(yaml.safe_dump(document), encoding="utf-8")
        return site

    return change
