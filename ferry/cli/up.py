"""`ferry up` and `ferry drift`: the Pulumi CLI against a real account, with what a person wants to know before."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ferry.cli.options import Json, Project
from ferry.cli.output import NO, note, show, working

if TYPE_CHECKING:
    from ferry.provisioning.command import Command

Stack = Annotated[str, typer.Argument(metavar="ENV", help="The environment of stacks/Pulumi.ENV.yaml.")]


def up(
    stack: Stack,
    project: Project = None,
    save_plan: Annotated[
        Path | None, typer.Option("--save-plan", metavar="FILE", help="Only preview, and write the plan.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Do what this plan says and nothing else.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before changing anything.")] = False,
    as_json: Json = False,
) -> None:
    """Preview, check the policies, price the change, ask, then `pulumi up` of exactly that (exit 3: declined)."""
    from tempfile import TemporaryDirectory

    from ferry import ledger
    from ferry.provisioning import preview, price
    from ferry.provisioning.text import describe, document

    if save_plan and plan:
        raise typer.BadParameter("give --save-plan or --plan, not both")
    command, region = _command(stack, project)
    stack_file = command.project / "stacks" / f"Pulumi.{stack}.yaml"
    with TemporaryDirectory() if not save_plan else nullcontext(".") as folder:
        saved = plan or save_plan or Path(folder) / "plan.json"
        with working("previewing", quiet=as_json):
            report, waiting = command.preview(None if plan else saved.absolute())
        changes = preview.changes(report)
        bills = price.difference(preview.steps(report), region)
        asked = waiting if command.policies else None
        show(document(stack, changes, bills, asked), describe(stack, changes, bills, asked), as_json)
        if save_plan:
            note(f"wrote {save_plan}; `ferry up {stack} --plan {save_plan}` does it", as_json)
            return
        if not changes:
            return
        if not yes and not typer.confirm("go on?", err=True):
            raise typer.Exit(NO)
        command.up(saved.absolute(), output=sys.stderr.fileno() if as_json else None)
        ledger.append(Path(), "up", inputs=[stack_file], outputs=[], forced=False, result="done")


def drift(stack: Stack, project: Project = None, as_json: Json = False) -> None:
    """Say what was changed in the account since the last `up`, and why that may be (exit 3 when anything was)."""
    from dataclasses import asdict

    from ferry.provisioning.drift import differences
    from ferry.provisioning.text import drifted

    command, _ = _command(stack, project)
    with working("refreshing", quiet=as_json):
        found = differences(command.refreshed())
    show({"stack": stack, "differences": [asdict(one) for one in found]}, drifted(stack, found), as_json)
    if found:
        raise typer.Exit(NO)


def _command(stack: str, project: Path | None) -> tuple[Command, str]:
    """The CLI in the project, once the stack file is valid and its state lies where it may."""
    import yaml

    from ferry.project import project_at
    from ferry.provisioning import backend
    from ferry.provisioning.command import Command
    from ferry.render.stack_file import StackFile

    folder = project_at(project)
    file = StackFile.read(folder / "stacks" / f"Pulumi.{stack}.yaml")
    settings = file.settings()
    command = Command(folder, stack)
    secrets = yaml.safe_load(file.text).get("secretsprovider")
    backend.check(stack, settings.region, command.backend(), secrets)
    return command, settings.region
