"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Force = Annotated[
    bool, typer.Option("--force", help="Accept an edited artefact or a changed input; the ledger says so.")
]
Project = Annotated[
    Path | None, typer.Option("--project", metavar="DIR", help="The Pulumi program [default: found from here upwards].")
]
PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="The plan.yaml that `ferry plan` wrote.")]
