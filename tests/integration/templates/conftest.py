from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ferry.render import render
from tests.gateways import DOMAIN, Authority, Backend, Gateway, addresses, running
from tests.plans import config, empty_project, write_plan


@pytest.fixture
def rendered_local(tmp_path: Path) -> Callable[..., Path]:
    """Render a plan; gives the folder `local/`. `addresses` goes to the render, everything else to the plan."""

    def run(*, addresses: Any = None, **changes: Any) -> Path:
        project = empty_project(tmp_path / "project")
        render(write_plan(tmp_path / "plan.yaml", **changes), project=project, addresses=addresses)
        return project / "build" / "qa" / "local"

    return run


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def local() -> Iterator[Backend]:
    with Backend("local").serving() as backend:
        yield backend


@pytest.fixture
def cloud(authority: Authority) -> Iterator[Backend]:
    with Backend("cloud").serving(authority.server(DOMAIN)) as backend:
        yield backend


@pytest.fixture
def start(rendered_local: Callable[..., Path], authority: Authority) -> Iterator[Callable[..., Gateway]]:
    """Render a gateway for two backends and run it; `cloud_host` and `gateway` change the render."""
    with ExitStack() as stop:

        def run(
            local: Backend, cloud: Backend, *, cloud_host: str = "127.0.0.1", gateway: dict[str, Any] | None = None
        ) -> Gateway:
            where = addresses(authority, local=local.port, cloud=cloud.port, cloud_host=cloud_host)
            settings = config(gateway={"domain_name": DOMAIN, **(gateway or {})})
            folder = rendered_local(addresses=where, config=settings) / "gateway"
            return stop.enter_context(running(folder))

        yield run
