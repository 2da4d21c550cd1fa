"""The parent's side of a rehearsal: what is rehearsed, and what came of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from ferry import artefacts
from ferry.artefacts import Plan, PolicyAnswer, Rehearsal
from ferry.compliance import Profile
from ferry.errors import RehearsalError
from ferry.rehearsal import environment
from ferry.rehearsal.process import Child
from ferry.render.stack_file import StackFile, merge
from stacks.settings import Settings

CLI = "pulumi"

Engine = Literal["pulumi", "official"] | None
"""Who runs the program: Pulumi's mocks, the real engine, or that with the official AWS plugin."""

Progress = Callable[[int, str], None]
"""Called with the number of resources created so far, and the type and name of the newest."""


@dataclass(frozen=True)
class Served:
    """A rehearsal, and the account that it left: up as long as the context that gave it."""

    rehearsal: Rehearsal
    endpoint_url: str
    properties: Mapping[str, Mapping[str, str]]
    """Type token to property path to what became of it: `sent` or `not emulated`."""
    settings: Settings
    _child: Child

    @property
    def variables(self) -> dict[str, str]:
        """What an AWS tool needs in its environment to work on this account and on no other."""
        return environment.variables(self.endpoint_url, self.rehearsal.region)

    def crossed(self, told: Callable[[str], None] = lambda what: None) -> Rehearsal:
        """The rehearsal with a crossing: real traffic on loopback, a model and its audit in this account."""
        from ferry.rehearsal.account import EmbeddedAccount
        from ferry.rehearsal.crossing.walk import Walk

        started = time.monotonic()
        account = EmbeddedAccount(self.endpoint_url, self.rehearsal.region)
        with TemporaryDirectory(prefix="ferry-crossing-") as scratch:
            lines = Walk(account, self.settings, self.rehearsal.outputs, Path(scratch), told).run()
        seconds = round(self.rehearsal.seconds + time.monotonic() - started, 1)
        return self.rehearsal.model_copy(update={"crossing": lines, "seconds": seconds})

    @contextmanager
    def copy(self) -> Iterator[str]:
        """The endpoint of a copy of the account as it is now, to be changed without changing this one."""
        copy = self._child.ask({"do": "copy"})
        try:
            yield copy["endpoint_url"]
        finally:
            self._child.ask({"do": "drop", "process": copy["process"]})


def rehearse(
    plan: Path, project: Path, *, artefact_folder: Path, force: bool = False, progress: Progress | None = None
) -> Rehearsal:
    """Rehearse a plan that `ferry render` has written into the project's stack file.

    `artefact_folder` is where the result will lie. A failed check is a result (`Rehearsal.passed`), not an error.
    Raises ArtefactError for a plan that cannot be trusted, InputError for an unusable stack file, RehearsalError where
    the stack file is not the plan's or the program does not run to its end.
    """
    with serve(plan, project, artefact_folder=artefact_folder, force=force, progress=progress) as served:
        return served.rehearsal


def rehearse_stack(stack: str, project: Path, *, artefact_folder: Path, progress: Progress | None = None) -> Rehearsal:
    """Rehearse a stack file of the project as it stands, without a plan. Raises as `rehearse` does."""
    with serve_stack(stack, project, artefact_folder=artefact_folder, progress=progress) as served:
        return served.rehearsal


@contextmanager
def serve(
    plan: Path,
    project: Path,
    *,
    artefact_folder: Path,
    force: bool = False,
    progress: Progress | None = None,
    engine: Engine = None,
) -> Iterator[Served]:
    """As `rehearse`, and the account stays up inside the context. `engine` asks for a real one."""
    decided, path, file = _rendered(plan, project, force=force)
    with _served(file, decided.environment, project, [plan, path], artefact_folder, progress, engine) as served:
        yield served


@contextmanager
def serve_stack(
    stack: str, project: Path, *, artefact_folder: Path, progress: Progress | None = None, engine: Engine = None
) -> Iterator[Served]:
    """As `rehearse_stack`, and the account stays up inside the context. `engine` asks for a real one."""
    path = _stack_file(project, stack)
    with _served(StackFile.read(path), stack, project, [path], artefact_folder, progress, engine) as served:
        yield served


@contextmanager
def serve_change(
    before: str,
    after: str,
    project: Path,
    *,
    artefact_folder: Path,
    progress: Progress | None = None,
    engine: Engine = "pulumi",
) -> Iterator[Served]:
    """Make one stack under the real engine, then make another of it; what is served is the second.

    Both are named as an environment of the project or as the path of a stack file. Raises RehearsalError where they
    are two environments or regions, which are two stacks and no change, or where the engine refuses the change.
    """
    paths = [_named(project, stack) for stack in (before, after)]
    files = [StackFile.read(path) for path in paths]
    old, new = (file.settings() for file in files)
    for name in ("environment", "region"):
        if getattr(old, name) != getattr(new, name):
            raise RehearsalError(
                f"{paths[0]} is of the {name} {getattr(old, name)} and {paths[1]} of {getattr(new, name)}: "
                f"a change stays in one {name}; rehearse each with --stack"
            )
    with _served(files[0], old.environment, project, paths, artefact_folder, progress, engine) as served:
        request = {"do": "change", "config": _readable(files[1])}
        yield _rehearsed(served._child, request, new, paths, artefact_folder, progress)


def _named(project: Path, stack: str) -> Path:
    return Path(stack) if Path(stack).suffix in (".yaml", ".yml") else _stack_file(project, stack)


def _rendered(plan: Path, project: Path, *, force: bool) -> tuple[Plan, Path, StackFile]:
    """A plan and the stack file that it was rendered into; RehearsalError where that is not the plan's."""
    decided = artefacts.read(Plan, plan, force=force)
    path = _stack_file(project, decided.environment)
    if not path.is_file():
        raise RehearsalError(f"{path}: not there; write it with `ferry render {plan}`")
    file = StackFile.read(path)
    rendered = merge(file.config, decided.config)
    if differing := sorted(key for key in rendered if rendered[key] != file.config.get(key)):
        raise RehearsalError(
            f"{path}: {', '.join(differing)} is not what {plan} decided; write it with `ferry render {plan}`, "
            f"or rehearse the file as it stands with `ferry rehearse --stack {decided.environment}`"
        )
    return decided, path, file


def stack_of(plan: Path, project: Path, *, force: bool = False) -> tuple[str, Path]:
    """The stack that a plan was rendered into, and its file. Raises as `rehearse` does."""
    decided, path, _ = _rendered(plan, project, force=force)
    return decided.environment, path


def _stack_file(project: Path, stack: str) -> Path:
    return project / "stacks" / f"Pulumi.{stack}.yaml"


def judge_stack(stack: str, project: Path, profile: Profile) -> tuple[str, list[PolicyAnswer]]:
    """The stack's region, and what every policy sees in what its program is going to ask for; nothing is created.

    Raises InputError for an unusable stack file, RehearsalError where the program does not run to its end.
    """
    path = _stack_file(project, stack)
    file = StackFile.read(path)
    file.settings()
    with Child(project) as child:
        answer = child.ask({"do": "judge", "stack": stack, "config": _readable(file), "profile": profile})
    return answer["region"], [PolicyAnswer.model_validate(one) for one in answer["policies"]]


@contextmanager
def _served(
    file: StackFile,
    stack: str,
    project: Path,
    made_from: list[Path],
    artefact_folder: Path,
    progress: Progress | None,
    engine: Engine,
) -> Iterator[Served]:
    request: dict[str, Any] = {"do": "rehearse", "stack": stack, "config": _readable(file)}
    settings = file.settings()  # what is wrong with the file is said in terms of the file, before anything is started
    if engine and shutil.which(CLI) is None:
        raise RehearsalError(f"`{CLI}` is not on PATH; `ferry doctor` says how to get it")
    with ExitStack() as until_the_end:
        if engine:
            folder = until_the_end.enter_context(TemporaryDirectory(prefix="ferry-engine-"))
            request |= {"workspace": folder, "official": engine == "official"}
        child = until_the_end.enter_context(Child(project))
        yield _rehearsed(child, request, settings, made_from, artefact_folder, progress)


def _rehearsed(
    child: Child,
    request: dict[str, Any],
    settings: Settings,
    made_from: list[Path],
    artefact_folder: Path,
    progress: Progress | None,
) -> Served:
    answer = child.ask(request, lambda created: progress and progress(created["count"], created["resource"]))
    rehearsal = Rehearsal(
        schema_=Rehearsal.SCHEMA,
        made_at=artefacts.now(),
        made_from=[artefacts.upstream(path, artefact_folder) for path in made_from],
        **answer["rehearsal"],
    )
    return Served(rehearsal, answer["endpoint_url"], answer["properties"], settings, child)


def _readable(file: StackFile) -> dict[str, Any]:
    """The configuration that can be handed on. Only the engine holds the key to encrypted values."""
    encrypted = [key for key, value in file.config.items() if isinstance(value, Mapping) and set(value) == {"secure"}]
    if ours := [key for key in encrypted if key.startswith("ferry:")]:
        raise RehearsalError(f"{file.path}: {', '.join(ours)} is encrypted, and a rehearsal has no key to it")
    return {key: value for key, value in file.config.items() if key not in encrypted}
