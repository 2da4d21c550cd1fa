"""`ferry rehearse`."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ferry.cli.options import Force, Json, Project
from ferry.cli.output import NO, counting, note, show, working


class Engine(StrEnum):
    """Who runs the program."""

    IN_PROCESS = "in-process"
    PULUMI = "pulumi"


class Provider(StrEnum):
    """Who stands for AWS's plugin under the real engine."""

    FERRY = "ferry"
    OFFICIAL = "official"


def rehearse(
    plan_file: Annotated[
        Path | None, typer.Argument(metavar="PLAN", help="The plan.yaml whose rendered stack is rehearsed.")
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option("--stack", metavar="ENV", help="Rehearse stacks/Pulumi.ENV.yaml as it is, without a plan."),
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option("--engine", help="Pulumi's mocks in one process, or the real engine: the Pulumi CLI on PATH."),
    ] = Engine.IN_PROCESS,
    provider: Annotated[
        Provider,
        typer.Option(
            "--provider", help="With the real engine: Ferry's own handlers, or the official AWS plugin, pointed here."
        ),
    ] = Provider.FERRY,
    before: Annotated[
        str | None,
        typer.Option("--from", metavar="STACK", help="Make this stack (an ENV or a stack file) first, then --to."),
    ] = None,
    after: Annotated[
        str | None, typer.Option("--to", metavar="STACK", help="What becomes of --from, under the real engine.")
    ] = None,
    project: Project = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE")] = Path("rehearsal.yaml"),
    without_crossing: Annotated[
        bool,
        typer.Option(
            "--without-crossing",
            help="Leave out what follows the checks: model, gateway, cutover, rollback and audit on loopback (30 s).",
        ),
    ] = False,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Keep the account up until Ctrl-C, and print how to point any AWS tool at it."),
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Run the program against an embedded AWS account, check what it left there, then move traffic on loopback.

    Exit code 3: a check failed, or something of the crossing did.
    """
    from ferry import ledger, rehearsal
    from ferry.project import project_at
    from ferry.rehearsal.text import describe

    if (before is None) != (after is None) or [plan_file, stack, before].count(None) != 2:
        raise typer.BadParameter("give a PLAN, or --stack ENV, or --from STACK --to STACK")
    folder = project_at(project)
    if provider is Provider.OFFICIAL and engine is not Engine.PULUMI and not before:
        raise typer.BadParameter("--provider official needs --engine pulumi")
    real: Literal["pulumi", "official"] | None = None
    if before or engine is Engine.PULUMI:
        real = "official" if provider is Provider.OFFICIAL else "pulumi"
    if real and not before and shutil.which(rehearsal.CLI) is None:
        note("`pulumi` is not on PATH (`ferry doctor` says how to get it): the in-process front runs instead", as_json)
        real = None
    resource, done = counting("rehearsing", quiet=as_json)
    how: dict[str, Any] = {"artefact_folder": output.parent, "progress": resource}
    if plan_file is not None:
        run = rehearsal.serve(plan_file, folder, force=force, engine=real, **how)
    elif before and after:
        run = rehearsal.serve_change(before, after, folder, engine=real, **how)
    else:
        run = rehearsal.serve_stack(str(stack), folder, engine=real, **how)
    with done, run as account:
        done.close()
        result = account.rehearsal
        if not without_crossing:
            with working("crossing", quiet=as_json) as told:
                result = account.crossed(told)
        result.write(output)
        ledger.append(
            output.parent,
            "rehearse",
            inputs=[plan_file] if plan_file else [],
            outputs=[output],
            forced=force,
            result="passed" if result.passed else "failed",
        )
        show(result.dump(), describe(result), as_json)
        note(f"wrote {output}", as_json)
        if serve:
            _wait(account.variables)
    if not result.passed:
        raise typer.Exit(NO)


def _wait(variables: Mapping[str, str]) -> None:
    """Print how to reach the account, and wait for Ctrl-C or SIGTERM."""
    sys.stdout.write("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
    sys.stdout.flush()
    note("the account is up; Ctrl-C ends it", False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()
