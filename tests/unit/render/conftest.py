from __future__ import annotations

from pathlib import Path

import pytest

from tests.plans import empty_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return empty_project(tmp_path / "project")
