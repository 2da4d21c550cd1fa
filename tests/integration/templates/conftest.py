from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ferry.render import render
from tests.plans import empty_project, write_plan


@pytest.fixture
def rendered_local(tmp_path: Path) -> Callable[..., Path]:
    """Render a plan; gives the folder `local/`. `addresses` goes to the render, everything else to the plan."""

    def run(*, addresses: Any = None, **changes: Any) -> Path:
        project = empty_project(tmp_path / "project")
        render(write_plan(tmp_path / "plan.yaml", **changes), project=project, addresses=addresses)
        return project / "build" / "qa" / "local"

    return run
