from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest

import ferry.rehearsal.handlers
from ferry.rehearsal.handlers import HANDLERS, Created, Inputs

Make = Callable[..., Created]


@pytest.fixture
def make(account: Any) -> Make:
    """Creates one resource on the account as the front does: `make("aws:kms/key:Key", description="d")`."""
    package = ferry.rehearsal.handlers
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

    def create(token: str, **properties: Any) -> Created:
        inputs = Inputs(token, "it", properties, [])
        created = HANDLERS[token](account, inputs)
        inputs.finish()
        return created

    return create
