"""The command line: the only place that prints or exits.

Exit codes: 0 done, 1 Ferry's error, 2 usage, 3 the answer is "no". Libraries are imported inside the commands, so that
`ferry --help` answers at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ferry.errors import FerryError

if TYPE_CHECKING:
    from rich.console import Console

NO = 3

app = typer.Typer(
    help="Move LLM inference from a server room to AWS, and leave training at home.",
    epilog="The road: assess, plan, render, rehearse, report. Exit codes: 0 done, 1 error, 2 usage, 3 the answer is no.",
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
    override_verdict: Annotated[
        bool, typer.Option("--override-verdict", help="Render although the verdict is stay; the ledger says so.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the stack file, and the hybrid template: what stays at home and what runs in the cloud."""
    raise NotImplementedError


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
