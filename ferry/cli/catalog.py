"""`ferry catalog`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ferry.cli.options import Json, Project
from ferry.cli.output import note, show

REFRESHED = Path(".ferry") / "catalog"
"""Below the project; like all of .ferry it is not under version control."""

catalog = typer.Typer(no_args_is_help=True)


@catalog.callback()
def about() -> None:
    """What AWS asks for its services: the prices that plans and costs rest on."""


def read_refreshed() -> None:
    """Let the prices that `ferry catalog refresh` wrote into this project come before the shipped ones."""
    from ferry.catalog import table
    from ferry.project import find_project

    project = find_project(Path.cwd())
    table.read_first(None if project is None else project / REFRESHED)


@catalog.command()
def refresh(
    region: Annotated[
        list[str] | None, typer.Option("--region", metavar="REGION", help="A region to read; may be given again.")
    ] = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Read on-demand, Spot and savings-plan prices from AWS (needs credentials), for ferry plan and ferry cost."""
    from ferry.catalog.refresh import refresh as read_prices
    from ferry.project import project_at

    folder = project_at(project) / REFRESHED
    made = read_prices(region or [], folder, progress=lambda step: note(f"reading {step}", as_json))
    found = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in made.found.items()) or "nothing"
    lines = [f"wrote {made.path}: {found}", *(f"not read: {reason}" for reason in made.missing)]
    show(made.dump(), "\n".join(lines), as_json)
