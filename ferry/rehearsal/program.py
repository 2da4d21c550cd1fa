"""Running the unchanged Pulumi program: every registration and every call goes through the table of handlers.

Pulumi's own mocks are the engine here. What they leave out of a real run is put back: two resources of one name are an
error, the whole program is waited for (registrations made inside `apply` included), and the first thing that fails,
anywhere, fails the run with the name of the resource that it happened to.
"""

from __future__ import annotations

import asyncio
import json
import runpy
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc, set_all_config, set_mocks
from pulumi.runtime.settings import SETTINGS, get_root_resource
from pulumi.runtime.stack import Stack, run_pulumi_func

from ferry.artefacts import NotEmulated
from ferry.compliance import Resource
from ferry.errors import DuplicateUrn, FerryError, RehearsalError, UnknownResource
from ferry.rehearsal import outputs
from ferry.rehearsal.handlers import HANDLERS, INVOKES, Account, Created, Fate, Inputs

Progress = Callable[[int, str], None]
"""Called with the number of resources created so far, and the type and name of the newest."""


@dataclass
class Run:
    """What a program did: its exports, its resources, and what became of each property it gave."""

    outputs: dict[str, Any] = field(default_factory=dict)
    resources: Counter[str] = field(default_factory=Counter)
    properties: dict[str, dict[str, Fate]] = field(default_factory=dict)
    not_emulated: list[NotEmulated] = field(default_factory=list)
    registered: list[Resource] = field(default_factory=list)


def run(
    project: Path, name: str, stack: str, config: Mapping[str, Any], account: Account, progress: Progress | None = None
) -> Run:
    """Run the `__main__.py` of a project under a stack's configuration.

    Raises RehearsalError or one of its kinds for whatever stops the program, and leaves `account` as it then is.
    """
    return drive(Front(account, progress), project, name, stack, config)


def forecast(project: Path, name: str, stack: str, config: Mapping[str, Any], account: Account) -> list[Resource]:
    """What the program is going to ask for, in an account that stays as it is: nothing is created.

    What AWS would answer stands in as a name of the right form (`outputs.expected`). Raises as `run` does.
    """
    return drive(_Forecast(account), project, name, stack, config).registered


def drive(front: Front, project: Path, name: str, stack: str, config: Mapping[str, Any]) -> Run:
    """Run the program against a front."""
    with asyncio.Runner() as runner, _registrations_in_order(runner.get_loop()):
        runner.get_loop().set_exception_handler(lambda _, context: front.note_failure(context.get("exception")))
        try:
            front.run.outputs = runner.run(_execute(project, name, stack, config, front))
        except (Exception, SystemExit) as error:
            raise front.failure or _explained(error, project) from error
    if front.failure:
        raise front.failure
    return front.run


@contextmanager
def _registrations_in_order(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """One worker for all registrations: they reach the account one after the other, in the same order each time."""
    # Pulumi's mocks want an event loop in the worker's thread and would leave the one that they make open.
    of_worker = asyncio.new_event_loop()
    loop.set_default_executor(
        ThreadPoolExecutor(1, "registration", initializer=asyncio.set_event_loop, initargs=(of_worker,))
    )
    try:
        yield
    finally:
        of_worker.close()


async def _execute(project: Path, name: str, stack: str, config: Mapping[str, Any], front: Front) -> dict[str, Any]:
    SETTINGS.outputs.clear()  # left by an earlier run of this process that failed
    set_mocks(front, project=name, stack=stack, preview=False, monitor=_Monitor(front))
    set_all_config({key: _as_the_engine_passes_it(value) for key, value in config.items()})
    root = get_root_resource()
    if not isinstance(root, Stack):
        raise RehearsalError("Pulumi's runtime made no stack; this version of pulumi is not supported")
    await run_pulumi_func(lambda: _run_main(project))
    exports = await pulumi.Output.from_input(dict(root.outputs)).future()
    return dict(exports or {})


def _run_main(project: Path) -> None:
    sys.path.insert(0, str(project))
    try:
        runpy.run_path(str(project / "__main__.py"), run_name="__main__")
    finally:
        sys.path.remove(str(project))


def _as_the_engine_passes_it(value: Any) -> str:
    """The engine hands every value of a stack file to the program as text, structured ones as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


class Front(mocks.Mocks):
    """Stands where the AWS provider stands."""

    def __init__(self, account: Account, progress: Progress | None = None) -> None:
        self.account = account
        self.run = Run()
        self.failure: RehearsalError | None = None
        self.protected: set[tuple[str, str]] = set()
        self._progress = progress

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Create one resource, and note it; a component passes."""
        given = _plain(args.inputs)
        if args.custom is False:  # a component; None says that the program reads something that is there
            return "", given
        with self._naming(f"{args.typ} {args.name}"):
            if args.resource_id:
                raise UnknownResource(
                    f"{args.typ} {args.name}: reading or importing {args.resource_id} is not rehearsed"
                )
            created = self._create(args.typ, args.name, given)
            protected = (args.typ, args.name) in self.protected
            self.run.registered.append(Resource(args.typ, args.name, given, id=created.id, protected=protected))
        return created.id, given | dict(created.outputs)

    def _create(self, kind: str, name: str, given: Mapping[str, Any]) -> Created:
        if kind not in HANDLERS:
            raise UnknownResource(f"{kind} {name}: no handler for this type; add it to ferry/rehearsal/handlers")
        inputs = Inputs(kind, name, dict(given), self.run.not_emulated)
        created = HANDLERS[kind](self.account, inputs)
        inputs.finish()
        self.run.resources[kind] += 1
        self._note(inputs)
        if self._progress:
            self._progress(self.run.resources.total(), f"{kind} {name}")
        return created

    # Pulumi's stub promises a pair; its code also takes the dictionary alone, and stumbles over the pair's None.
    def call(self, args: mocks.MockCallArgs) -> Any:
        """Answer one call from the table."""
        with self._naming(args.token):
            if args.token not in INVOKES:
                raise UnknownResource(f"{args.token}: no answer to this call; add it to ferry/rehearsal/handlers")
            inputs = Inputs(args.token, "", _plain(args.args), self.run.not_emulated)
            answer = INVOKES[args.token](self.account, inputs)
            inputs.finish()
            self._note(inputs)
        return dict(answer)

    def _note(self, inputs: Inputs) -> None:
        self.run.properties.setdefault(inputs.type, {}).update(inputs.fates())

    @contextmanager
    def _naming(self, resource: str) -> Iterator[None]:
        """Give what fails inside the name of the resource, and keep the first such failure of the run."""
        try:
            yield
        except Exception as error:
            failure = error if isinstance(error, RehearsalError) else RehearsalError(f"{resource}: {one_line(error)}")
            self.note_failure(failure)
            raise failure from error

    def note_failure(self, error: BaseException | None) -> None:
        """Keep the first failure: the later ones follow from it, or end in a future that nobody awaits."""
        if error and not self.failure:
            self.failure = error if isinstance(error, RehearsalError) else RehearsalError(one_line(error))


class _Forecast(Front):
    """Asks the account what the program asks it, and creates nothing."""

    def _create(self, kind: str, name: str, given: Mapping[str, Any]) -> Created:
        return outputs.expected(self.account, kind, name, given)

    def call(self, args: mocks.MockCallArgs) -> Any:
        """What is asked of a resource of the program's own (`getSubnet` by its id) is answered by what it asked for."""
        kind = args.token.rpartition(":")[2].removeprefix("get")
        for one in self.run.registered:
            if one.type.endswith(f":{kind}") and one.id == args.args.get("id"):
                return dict(one.properties) | {"id": one.id}
        return super().call(args)


class _Monitor(mocks.MockMonitor):
    """Pulumi's mock of the engine, with the engine's URNs, and with its refusal of two resources of one URN."""

    def __init__(self, front: Front) -> None:
        super().__init__(front)
        self._front = front
        self._urns: set[str] = set()

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """As the engine makes it: the types of all parents but the stack, joined by `$`."""
        parents = parent.split("::")[2] if parent else ""
        qualified = f"{parents}${type_}" if parents and parents != "pulumi:pulumi:Stack" else type_
        return "::".join([f"urn:pulumi:{pulumi.get_stack()}", pulumi.get_project(), qualified, name])

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (gRPC's name)
        urn = self.make_urn(request.parent, request.type, request.name)
        if urn in self._urns:
            error = DuplicateUrn(f"{urn}: two resources have this URN; give one another name or parent")
            self._front.note_failure(error)
            raise error
        self._urns.add(urn)
        if request.protect:
            self._front.protected.add((request.type, request.name))
        base: Any = super()  # Pulumi annotates nothing here
        return base.RegisterResource(request)


def _plain(value: Any) -> Any:
    """A property as a handler wants it: secrets opened, whole numbers as int (they travel as doubles), no nulls."""
    if rpc.is_rpc_secret(value):
        return _plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _explained(error: BaseException, project: Path) -> FerryError:
    """What stopped the program, on one line: the resource where there is one, else the place in the program."""
    if isinstance(error, FerryError):
        return error
    frames = list(traceback.walk_tb(error.__traceback__))
    for frame, _ in frames:
        if frame.f_code.co_name == "do_register":  # pulumi/runtime/resource.py: `ty` and `name` of the registration
            return RehearsalError(f"{frame.f_locals['ty']} {frame.f_locals['name']}: {one_line(error)}")
    places = [
        f"{Path(frame.f_code.co_filename).relative_to(project)}:{line}: "
        for frame, line in frames
        if Path(frame.f_code.co_filename).is_relative_to(project)
    ]
    return RehearsalError(f"{places[-1] if places else ''}{one_line(error)}")


def one_line(error: BaseException) -> str:
    """An error of somebody else's code, with its kind."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
