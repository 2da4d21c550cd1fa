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


def test_the_handler_gets_secrets_opened_and_whole_numbers_as_integers(run: Run, created: list[Any]) -> None:
    run("Thing('one', size=184, secret=pulumi.Output.secret({'key': 0.5, 'none': None}))")
    assert created == [("one", {"size": 184, "secret": {"key": 0.5}})]
    assert type(created[0][1]["size"]) is int


def test_configuration_reaches_the_program_as_the_engine_passes_it(run: Run) -> None:
    result = run(
        """
config = pulumi.Config("ferry")
pulumi.export("given", [config.require("text"), config.require("flag"), config.require_object("list")])
pulumi.export("where", [pulumi.get_project(), pulumi.get_stack()])
""",
        {"ferry:text": "as it is", "ferry:flag": True, "ferry:list": [{"weight": 1}]},
    )
    assert result.outputs == {"given": ["as it is", "true", [{"weight": 1}]], "where": ["ferry", "test"]}


def test_a_call_is_answered_from_the_table(run: Run) -> None:
    result = run("pulumi.export('answer', pulumi.runtime.invoke('test:index:getAnswer', {'question': 7}).value)")
    assert result.outputs == {"answer": {"answer": 7}}


def test_each_property_is_recorded_as_sent_or_not_emulated(run: Run) -> None:
    result = run("Thing('one', size=3, shine=True)")
    assert result.properties == {"test:index:Thing": {"size": "sent", "shine": "not emulated"}}
    assert [(one.resource, one.property, one.why) for one in result.not_emulated] == [
        ("test:index:Thing one", "shine", "nothing shines here")
    ]


def test_components_pass_without_a_handler_and_only_real_resources_are_counted(run: Run) -> None:
    assert run("Box('box'); Thing('beside')").resources == {"test:index:Thing": 2}


def test_registrations_made_inside_apply_are_waited_for(run: Run, created: list[Any]) -> None:
    run("Thing('first').arn.apply(lambda _: Thing('second').arn.apply(lambda _: Thing('third')))")
    assert [name for name, _ in created] == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("program", "kind", "message"),
    [
        (
            "Thing('one', colour='red')",
            UnknownProperty,
            "test:index:Thing one: no handler for colour; add it to ferry/rehearsal/handlers",
        ),
        (
            "pulumi.CustomResource('test:index:Other', 'one', {})",
            UnknownResource,
            "test:index:Other one: no handler for this type; add it to ferry/rehearsal/handlers",
        ),
        (
            "pulumi.runtime.invoke('test:index:getOther', {})",
            UnknownResource,
            "test:index:getOther: no answer to this call; add it to ferry/rehearsal/handlers",
        ),
        (
            "pulumi.runtime.invoke('test:index:getAnswer', {'question': 1, 'tone': 'rude'})",
            UnknownProperty,
            "test:index:getAnswer : no handler for tone; add it to ferry/rehearsal/handlers",
        ),
        (
            "Thing('one', opts=pulumi.ResourceOptions(id='id-there'))",
            UnknownResource,
            "test:index:Thing one: reading or importing id-there is not rehearsed",
        ),
        (
            "Thing('one', opts=pulumi.ResourceOptions(import_='id-there'))",
            UnknownResource,
            "test:index:Thing one: reading or importing id-there is not rehearsed",
        ),
        (
            "Thing('one'); Thing('one')",
            DuplicateUrn,
            "urn:pulumi:test::ferry::test:index:Thing::one: two resources have this URN; "
            "give one another name or parent",
        ),
        (
            "Box('left'); Box('left')",
            DuplicateUrn,
            "urn:pulumi:test::ferry::ferry:components:Box::left: two resources have this URN; "
            "give one another name or parent",
        ),
        (
            "Box('left'); Box('right')",  # a URN has the parents' types, not their names
            DuplicateUrn,
            "urn:pulumi:test::ferry::ferry:components:Box$test:index:Thing::inside: two resources have this URN; "
            "give one another name or parent",
        ),
        (
            "Thing('one', explode=True); Thing('two')",
            RehearsalError,
            "test:index:Thing one: ValueError: it does explode",
        ),
        (
            "Thing('one').arn.apply(lambda _: Thing('late', explode=True))",
            RehearsalError,
            "test:index:Thing late: ValueError: it does explode",
        ),
        (
            "Thing('two', size=Thing('one').arn.apply(lambda arn: arn['size']))",
            RehearsalError,
            "test:index:Thing two: TypeError: string indices must be integers, not 'str'",
        ),
        (
            "def never(arn):\n    assert arn == 'another'\n\nThing('one').arn.apply(never)",
            RehearsalError,
            "__main__.py:16: AssertionError: ",
        ),
        (
            "pulumi.export('bad', Thing('one').arn.apply(lambda _: 1 / 0))",
            RehearsalError,
            "__main__.py:15: ZeroDivisionError: division by zero",
        ),
        ("import not_there", RehearsalError, "__main__.py:15: ModuleNotFoundError: No module named 'not_there'"),
        ("raise SystemExit('enough')", RehearsalError, "__main__.py:15: SystemExit: enough"),
    ],
)
def test_whatever_stops_the_program_fails_the_run_and_names_its_place(
    run: Run, program: str, kind: type[RehearsalError], message: str
) -> None:
    with pytest.raises(RehearsalError) as raised:
        run(program)
    assert (type(raised.value), str(raised.value)) == (kind, message)


def test_a_failed_run_leaves_the_next_one_alone(run: Run) -> None:
    with pytest.raises(RehearsalError):
        run("Thing('one').arn.apply(lambda _: 1 / 0)")
    assert run("Thing('one')").resources == {"test:index:Thing": 1}


def test_resources_of_one_name_under_different_parents_are_not_duplicates(run: Run, created: list[Any]) -> None:
    run("Thing('inside'); Box('box')")
    assert [name for name, _ in created] == ["inside", "inside"]
