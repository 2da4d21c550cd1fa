"""What each shipped stack is going to ask for: forecast once per worker process, on a server that keeps nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import import_all

if TYPE_CHECKING:
    from ferry.compliance import Context, Resource
    from ferry.rehearsal.server import Server

ROOT = Path(__file__).resolve().parents[3]

Stack = Callable[[str], "tuple[list[Resource], Context]"]


@pytest.fixture(scope="session")
def stack(server: Server) -> Stack:
    from ferry.compliance import Context
    from ferry.rehearsal import handlers, program, seeds
    from ferry.render.stack_file import StackFile

    import_all(handlers)
    known: dict[str, tuple[list[Resource], Context]] = {}

    def get(environment: str) -> tuple[list[Resource], Context]:
        if environment not in known:
            file = StackFile.read(ROOT / "stacks" / f"Pulumi.{environment}.yaml")
            settings = file.settings()
            server.reset()
            account = server.account(settings.region)
            seeds.seed(account, settings)
            resources = program.forecast(ROOT, "ferry", environment, file.config, account)
            known[environment] = (resources, Context.of(settings))
        return known[environment]

    return get
