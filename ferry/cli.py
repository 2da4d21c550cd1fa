"""The command line: the only place that prints or exits.

Exit codes: 0 done, 1 Ferry's error, 2 usage, 3 the answer is "no". Libraries are imported inside the commands, so that
`ferry --help` answers at once.
"""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ferry.errors import FerryError

if TYPE_CHECKING:
    from rich.console import Console

NO = 3

app = typer.Typer(
    help="Move LLM inference from a server room to AWS, and leave training at home.",
    epilog="The road: assess, plan, render, rehearse, report. Exit codes: 0 done, 1 error, 2 usage, 3 the answer: no.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Force = Annotated[
    bool, typer.Option("--force", help="Accept an edited artefact or a changed input; the ledger says so.")
]
Project = Annotated[
    Path | None, typer.Option("--project", metavar="DIR", help="The Pulumi program [default: found from here upwards].")
]
PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="The plan.yaml that `ferry plan` wrote.")]


@app.command()
def assess(
    site: Annotated[Path, typer.Argument(metavar="SITE", help="site.yaml: what the site tells Ferry about itself.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE")] = Path("assessment.yaml"),
    as_json: Json = False,
) -> None:
    """Read the site's own measurements and say what is known, assumed and unknown."""
    from ferry import ledger
    from ferry.assess import assess as assess_site
    from ferry.assess.text import describe

    assessment = assess_site(site, artefact_folder=output.parent)
    assessment.write(output)
    ledger.append(output.parent, "assess", inputs=[site], outputs=[output], forced=False, result="done")
    _show(assessment.dump(), describe(assessment), as_json)
    _note(f"wrote {output}; next: ferry plan {output} --env prod", as_json)


@app.command()
def plan(
    assessment: Annotated[Path, typer.Argument(metavar="ASSESSMENT", help="The file that `ferry assess` wrote.")],
    environment: Annotated[str, typer.Option("--env", metavar="ENV", help="dev, staging, prod, prod-cn, or your own.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE")] = Path("plan.yaml"),
    serving: Annotated[
        str | None, typer.Option("--serving", metavar="NAME", help="Which service moves, where a site has several.")
    ] = None,
    region: Annotated[str | None, typer.Option("--region", metavar="REGION", help="Plan for this region only.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Size and price the move, and give a verdict: go, conditional, defer or stay (exit 3)."""
    from ferry import ledger
    from ferry.planning import plan as make_plan
    from ferry.planning.text import describe

    made = make_plan(
        assessment, environment=environment, serving=serving, region=region, force=force, artefact_folder=output.parent
    )
    made.write(output)
    ledger.append(output.parent, "plan", inputs=[assessment], outputs=[output], forced=force, result=made.verdict)
    _show(made.dump(), describe(made), as_json)
    if made.verdict == "stay":
        _note(
            f"wrote {output}; the verdict is stay. To go on all the same: ferry render {output} --override-verdict",
            as_json,
        )
        raise typer.Exit(NO)
    _note(f"wrote {output}; next: ferry render {output}", as_json)


@app.command()
def render(
    plan_file: PlanFile,
    project: Project = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where build files go [default: PROJECT/build/ENV]."),
    ] = None,
    signing_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Ed25519 key that signs what nodes run [default: PROJECT/.ferry/signing-key.pem, made when missing].",
        ),
    ] = None,
    gateway_address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where the gateway at home listens [default: 127.0.0.1:8080]."),
    ] = None,
    engine_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where the engine at home listens [default: its own port on 127.0.0.1]."
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CA certificates that the gateway trusts for the cloud [default: the system's]."
        ),
    ] = None,
    override_verdict: Annotated[
        bool, typer.Option("--override-verdict", help="Render although the verdict is stay; the ledger says so.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the stack file, and the hybrid template: what stays at home and what runs in the cloud."""
    from ferry import ledger
    from ferry.project import project_at
    from ferry.render import Addresses
    from ferry.render import render as render_plan

    rendered = render_plan(
        plan_file,
        project=project_at(project),
        out=output,
        signing_key=signing_key,
        override_verdict=override_verdict,
        force=force,
        addresses=Addresses.named(gateway=gateway_address, engine=engine_address, ca_file=ca_file),
    )
    ledger.append(
        plan_file.parent,
        "render",
        inputs=[plan_file],
        outputs=[file.path for file in rendered.files],
        forced=force or override_verdict,
        result="verdict overridden" if override_verdict else "done",
    )
    lines = [f"{file.change:9} {_short(file.path)}" for file in rendered.files]
    _show(rendered.dump(), "\n".join([*lines, *rendered.notes]), as_json)
    _note(f"next: ferry rehearse {plan_file}", as_json)


@app.command()
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
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Keep the account up until Ctrl-C, and print how to point any AWS tool at it."),
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Run the program against an embedded AWS account, and check what it left there (exit 3 when a check fails)."""
    from ferry import ledger, rehearsal
    from ferry.project import project_at
    from ferry.rehearsal.text import describe

    if (plan_file is None) == (stack is None):
        raise typer.BadParameter("give either a PLAN or --stack ENV")
    folder = project_at(project)
    resource, done = _counting("rehearsing", quiet=as_json)
    if plan_file is not None:
        run = rehearsal.serve(plan_file, folder, artefact_folder=output.parent, force=force, progress=resource)
    else:
        run = rehearsal.serve_stack(str(stack), folder, artefact_folder=output.parent, progress=resource)
    with done, run as account:
        done.close()
        result = account.rehearsal
        result.write(output)
        ledger.append(
            output.parent,
            "rehearse",
            inputs=[plan_file] if plan_file else [],
            outputs=[output],
            forced=force,
            result="passed" if result.passed else "failed",
        )
        _show(result.dump(), describe(result), as_json)
        _note(f"wrote {output}", as_json)
        if serve:
            _wait(account.variables)
    if not result.passed:
        raise typer.Exit(NO)


@app.command()
def report(
    plan_file: PlanFile,
    assessment: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: the one that the plan was made from]")
    ] = None,
    rehearsal: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: rehearsal.yaml beside the plan, where there is one]")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE")] = Path("report.html"),
    force: Force = False,
) -> None:
    """Write one HTML page that works offline: verdict, evidence, architecture, costs, checks."""
    from ferry import ledger
    from ferry.artefacts import write_whole
    from ferry.report import report as make_report
    from ferry.report import sources

    files = sources(plan_file, assessment, rehearsal)
    write_whole(output, make_report(files, force=force))
    ledger.append(output.parent, "report", inputs=files.all, outputs=[output], forced=force, result="done")
    _note(f"wrote {output}{'' if files.rehearsal else '; no rehearsal was found, and the page says so'}", False)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is missing on this machine, what it is needed for, and how to get it."""
    from dataclasses import asdict

    from ferry.doctor import examine

    found = examine()
    lines = [
        f"{'ok     ' if one.found else 'MISSING' if one.required else 'absent '} {one.name:18} "
        + (one.found or f"for {one.used_for}; {one.remedy}")
        for one in found
    ]
    _show({"needs": [asdict(one) for one in found]}, "\n".join(lines), as_json)
    if any(one.required and not one.found for one in found):
        raise typer.Exit(1)


def _counting(what: str, *, quiet: bool) -> tuple[Callable[[int, str], None], ExitStack]:
    """Show how far a run is: a line that counts on a terminal, a plain line now and then elsewhere."""
    console = _console(stderr=True)
    shown = ExitStack()
    if quiet:
        return lambda count, name: None, shown
    if not console.is_terminal:
        return lambda count, name: None if count % 25 else _note(f"{what}: {count} resources", False), shown
    status = shown.enter_context(console.status(f"{what} ..."))
    return lambda count, name: status.update(f"{what}: {count} resources, {name}"), shown


def _wait(variables: Mapping[str, str]) -> None:
    """Print how to reach the account, and wait for Ctrl-C or SIGTERM."""
    sys.stdout.write("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
    sys.stdout.flush()
    _note("the account is up; Ctrl-C ends it", False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _show(document: dict[str, Any], text: Any, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        _console().print(text)


def _note(text: str, as_json: bool) -> None:
    if not as_json:
        _console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def _version(wanted: bool) -> None:
    if wanted:
        from ferry import __version__

        sys.stdout.write(f"ferry {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Move LLM inference from a server room to AWS, and leave training at home."""


def main() -> NoReturn:
    """Run a command; turn Ferry's errors into one line and their exit code."""
    try:
        app()
    except FerryError as error:
        sys.stderr.write(f"ferry: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("ferry: interrupted\n")
        sys.exit(130)
    sys.exit(0)
