from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ferry.errors import DuplicateUrn, RehearsalError, UnknownProperty, UnknownResource
from ferry.rehearsal.handlers import HANDLERS, INVOKES, Account, Created, Inputs

Run = Callable[..., Any]

PROGRAM = """
import pulumi

class Thing(pulumi.CustomResource):
    arn: pulumi.Output[str]

    def __init__(self, name, opts=None, **properties):
        super().__init__("test:index:Thing", name, {"arn": None, **properties}, opts)

class Box(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("ferry:components:Box", name, {}, opts)
        Thing("inside", opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({})
"""


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, Any]]]:
    made: list[tuple[str, Mapping[str, Any]]] = []

    def thing(account: Account, inputs: Inputs) -> Created:
        if inputs.take("explode"):
            raise ValueError("it does\nexplode")
        inputs.skip("shine", "nothing shines here")
        made.append((inputs.name, inputs.properties))
        for name in ("size", "secret", "rules"):
            inputs.take(name)
        return Created(f"id-{inputs.name}", {"arn": f"arn:{account.partition}:test:{inputs.name}"})

    monkeypatch.setitem(HANDLERS, "test:index:Thing", thing)
    monkeypatch.setitem(INVOKES, "test:index:getAnswer", lambda account, inputs: {"answer": inputs.take("question")})
    return made


@pytest.fixture
def run(run_program: Run, created: object) -> Run:
    return lambda source, config=None: run_program(PROGRAM + source, config)


def test_outputs_are_the_inputs_and_what_the_handler_adds(run: Run) -> None:
    result = run("thing = Thing('one', size=3); pulumi.export('all', [thing.id, thing.arn, thing.size])")
    assert result.outputs == {"all": ["id-one", "arn:aws:test:one", 3]}
