"""`ferry compliance`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ferry.cli.options import Force, Json, Project
from ferry.cli.output import NO, note, show, working

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferry.artefacts import Upstream
    from ferry.compliance import Profile
    from ferry.compliance.judgement import Subject

compliance = typer.Typer(help="What is proven of a standard, clause by clause.", no_args_is_help=True)


class Standard(StrEnum):
    """Standards that Ferry has a catalogue of."""

    MLPS_L3 = "mlps-l3"


@compliance.callback()
def options() -> None:
    """What is proven of a standard, clause by clause."""


@compliance.command()
def report(
    profile: Annotated[Standard, typer.Option("--profile", help="The standard.")] = Standard.MLPS_L3,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Judge what a rendered plan is going to ask for.")
    ] = None,
    rehearsal: Annotated[
        Path | None, typer.Option("--rehearsal", metavar="FILE", help="Judge what `ferry rehearse` wrote.")
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option("--stack", metavar="ENV", help="Judge what stacks/Pulumi.ENV.yaml is going to ask for."),
    ] = None,
    account: Annotated[
        bool,
        typer.Option(
            "--account", help="Judge the live account instead: what is tagged with the environment of --stack."
        ),
    ] = False,
    project: Project = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where compliance.json and the pages go.")
    ] = Path("compliance"),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Judge a plan, a rehearsal or an account; write JSON and pages in Chinese and English (exit 3: one is not met)."""
    import json

    from ferry import ledger
    from ferry.artefacts import write_whole
    from ferry.compliance.judgement import judge
    from ferry.compliance.page import page
    from ferry.compliance.text import describe

    if [plan_file, rehearsal, stack].count(None) != 2 or (account and not stack):
        raise typer.BadParameter("give one of --plan FILE, --rehearsal FILE, --stack ENV or --stack ENV --account")
    wanted: Profile = profile.value
    with working("judging", quiet=as_json):
        if rehearsal is not None:
            subject, made_from = _of_rehearsal(rehearsal, wanted, output, force=force)
        elif account:
            subject, made_from = _of_account(str(stack), wanted, project, output)
        else:
            subject, made_from = _of_program(plan_file, stack, wanted, project, output, force=force)
        judgement = judge(subject, wanted, made_from)
    written = {output / "compliance.json": json.dumps(judgement.dump(), indent=2, ensure_ascii=False) + "\n"}
    written |= {
        output / "compliance.zh.html": page(judgement, "zh"),
        output / "compliance.en.html": page(judgement, "en"),
    }
    for path, content in written.items():
        write_whole(path, content)
    ledger.append(
        output.parent,
        "compliance report",
        inputs=[path for path in (plan_file, rehearsal) if path],
        outputs=[*written],
        forced=force,
        result="not met" if judgement.broken else "done",
    )
    show(judgement.dump(), describe(judgement), as_json)
    note(f"wrote {', '.join(str(path) for path in written)}", as_json)
    if judgement.broken:
        raise typer.Exit(NO)


def _of_rehearsal(path: Path, profile: Profile, output: Path, *, force: bool) -> tuple[Subject, Sequence[Upstream]]:
    from ferry.artefacts import Rehearsal, read, upstream
    from ferry.compliance.judgement import Subject
    from ferry.errors import InputError

    found = read(Rehearsal, path, force=force)
    if found.policy_profile != profile:
        raise InputError(
            f"{path}: its policies were asked under {found.policy_profile or 'no profile'}, needed is {profile}: "
            f'tag the stack `mlps-level: "3"` and rehearse it again, or judge what it asks for with --stack'
        )
    subject = Subject("rehearsal", found.made_at, found.environment, found.region, found.policies, found.checks)
    return subject, [upstream(path, output)]


def _of_program(
    plan_file: Path | None, stack: str | None, profile: Profile, project: Path | None, output: Path, *, force: bool
) -> tuple[Subject, Sequence[Upstream]]:
    from ferry import rehearsal
    from ferry.artefacts import now, upstream
    from ferry.compliance.judgement import Subject
    from ferry.project import project_at

    folder = project_at(project)
    if plan_file is not None:
        environment, path = rehearsal.stack_of(plan_file, folder, force=force)
    else:
        environment = str(stack)
        path = folder / "stacks" / f"Pulumi.{environment}.yaml"
    region, policies = rehearsal.judge_stack(environment, folder, profile)
    made_from = [upstream(one, output) for one in (plan_file, path) if one]
    return Subject("plan", now(), environment, region, policies, None), made_from


def _of_account(stack: str, profile: Profile, project: Path | None, output: Path) -> tuple[Subject, Sequence[Upstream]]:
    import boto3

    from ferry.artefacts import now, upstream
    from ferry.compliance import Context, judged
    from ferry.compliance.account import resources
    from ferry.compliance.judgement import Subject
    from ferry.project import project_at
    from ferry.render.stack_file import StackFile

    path = project_at(project) / "stacks" / f"Pulumi.{stack}.yaml"
    context = Context.of(StackFile.read(path).settings(), profile)
    connect: Any = boto3.client  # by the service's name, which is not known to be one of its literals
    found = resources(connect, context)
    return (
        Subject("account", now(), context.environment, context.region, judged(found, context), None),
        [upstream(path, output)],
    )
