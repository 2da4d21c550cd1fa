from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ferry.rehearsal.handlers
from ferry.rehearsal.handlers import HANDLERS, Created, Inputs
from tests.conftest import import_all

Make = Callable[..., Created]


@pytest.fixture
def make(account: Any) -> Make:
    """Creates one resource on the account as the front does: `make("aws:kms/key:Key", description="d")`."""
    import_all(ferry.rehearsal.handlers)

    def create(token: str, **properties: Any) -> Created:
        inputs = Inputs(token, "it", properties, [])
        created = HANDLERS[token](account, inputs)
        inputs.finish()
        return created

    return create
