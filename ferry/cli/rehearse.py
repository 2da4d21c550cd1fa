"""`ferry rehearse`."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from ferry.cli.options import Force, Json, Project
from ferry.cli.output import NO, counting, note, show, working


def rehearse(
    plan_file: Annotated[
        Path | None, typer.Argument(metavar="PLAN", help="The plan.yaml whose rendered stack is rehearsed.")
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option("--stack", metavar="ENV", help="Rehearse stacks/Pulumi.ENV.yaml as it is, without a plan."),
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

    if (plan_file is None) == (stack is None):
        raise typer.BadParameter("give either a PLAN or --stack ENV")
    folder = project_at(project)
    resource, done = counting("rehearsing", quiet=as_json)
    if plan_file is not None:
        run = rehearsal.serve(plan_file, folder, artefact_folder=output.parent, force=force, progress=resource)
    else:
        run = rehearsal.serve_stack(str(stack), folder, artefact_folder=output.parent, progress=resource)
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
