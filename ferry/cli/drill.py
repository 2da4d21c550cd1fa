"""`ferry drill`."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ferry.cli.options import Force, Json, Project
from ferry.cli.output import NO, counting, note, show, working

if TYPE_CHECKING:
    from ferry.rehearsal import Served

ALL = "all"


def drill(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A drill, or `all`.")],
    plan_file: Annotated[
        Path | None, typer.Argument(metavar="PLAN", help="The plan.yaml whose rendered stack is drilled.")
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option("--stack", metavar="ENV", help="Drill stacks/Pulumi.ENV.yaml as it is, without a plan."),
    ] = None,
    timings_file: Annotated[
        Path | None,
        typer.Option("--timings", metavar="FILE", help="Durations that you measured, in place of the assumed ones."),
    ] = None,
    policy_file: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="Of the cutover that a bad release comes into."),
    ] = None,
    target_minutes: Annotated[
        float, typer.Option("--target-minutes", min=0, help="How long a recovery may take.")
    ] = 15,
    project: Project = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE")] = Path("drills.yaml"),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make a fault on the rehearsed stack, and time what the stack itself does about it.

    Exit code 3: a drill did not meet its target, or something that it needs is not provisioned.
    """
    from ferry import ledger
    from ferry.drills import runner
    from ferry.drills.scene import CANARY_POLICY
    from ferry.drills.text import describe
    from ferry.drills.timings import Timings
    from ferry.project import project_at

    if (plan_file is None) == (stack is None):
        raise typer.BadParameter("give a PLAN, or --stack ENV")
    if name not in {ALL, *runner.DRILLS}:
        raise typer.BadParameter(f"no drill is called {name!r}; allowed are {ALL}, {', '.join(runner.DRILLS)}")
    # As Ctrl-C does, so that every context closes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for folder in runner.swept():
        note(f"removed {folder}, which a drill that was killed had left", as_json)
    timings = Timings.load_file(timings_file) if timings_file else Timings()
    weights = runner.weights_of(plan_file, force=force) if plan_file else {}
    resource, done = counting("rehearsing", quiet=as_json)
    with done, _serving(plan_file, stack, project_at(project), output.parent, force, resource) as served:
        done.close()
        with working("drilling", quiet=as_json) as told:
            result = runner.run(
                served,
                [*runner.DRILLS] if name == ALL else [name],
                timings=timings,
                target_s=target_minutes * 60,
                weights=weights,
                policy=policy_file or CANARY_POLICY,
                told=told,
            )
    result.write(output)
    ledger.append(
        output.parent,
        "drill",
        inputs=[path for path in (plan_file, timings_file, policy_file) if path],
        outputs=[output],
        forced=force,
        result="passed" if result.passed else "missed",
        figures={one.name: one.outcome for one in result.drills},
    )
    show(result.dump(), describe(result), as_json)
    note(f"wrote {output}", as_json)
    if not result.passed:
        raise typer.Exit(NO)


def _serving(
    plan_file: Path | None,
    stack: str | None,
    project: Path,
    folder: Path,
    force: bool,
    progress: Callable[[int, str], None],
) -> AbstractContextManager[Served]:
    from ferry import rehearsal

    if plan_file is not None:
        return rehearsal.serve(plan_file, project, artefact_folder=folder, force=force, progress=progress)
    return rehearsal.serve_stack(str(stack), project, artefact_folder=folder, progress=progress)
