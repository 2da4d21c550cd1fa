"""`ferry site`: what a machine at home needs to reach AWS."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ferry.cli.options import Json
from ferry.cli.output import note, show

site = typer.Typer(help="Let a machine at home push models with its certificate.", no_args_is_help=True)


@site.callback()
def group() -> None:
    """Let a machine at home push models with its certificate."""


@site.command()
def credentials(
    outputs: Annotated[
        Path, typer.Argument(metavar="OUTPUTS", help="What `pulumi stack output --json --stack ENV` printed.")
    ],
    certificate: Annotated[Path, typer.Option(metavar="FILE", help="The machine's certificate in PEM.")],
    private_key: Annotated[Path, typer.Option(metavar="FILE", help="Its private key, mode 0600; it is not read here.")],
    profile: Annotated[str, typer.Option(metavar="NAME", help="Name of the AWS profile.")] = "ferry-push",
    helper: Annotated[str, typer.Option(metavar="PROGRAM", help="AWS's credential helper.")] = "aws_signing_helper",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new file [default: standard output].")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the AWS profile by which pushing works without a long-lived key (IAM Roles Anywhere)."""
    from ferry.artefacts import now, write_whole
    from ferry.errors import UnwritableOutput
    from ferry.models.site_credentials import read_outputs, site_credentials

    made = site_credentials(
        read_outputs(outputs),
        certificate=certificate,
        private_key=private_key,
        helper=helper,
        profile=profile,
        at=now(),
    )
    if output is None and not as_json:
        sys.stdout.write(made.config)  # as it is: a console would wrap the lines, and take [profile …] for markup
    elif output is None:
        show(made.dump(), "", as_json)
    else:
        if output.exists() and output.read_text(encoding="utf-8") != made.config:
            raise UnwritableOutput(f"{output}: has other content; name a new file, or add the profile yourself")
        write_whole(output, made.config)
        show(made.dump(), f"wrote {output}", as_json)
        note(f"use it: export AWS_CONFIG_FILE={output} AWS_PROFILE={made.profile}", as_json)
    note(
        f"{made.subject} is valid until {made.valid_until:%Y-%m-%d}; ferry:site_identity.subjects has to name it",
        as_json,
    )
