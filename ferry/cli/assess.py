"""`ferry assess`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ferry.cli.options import Json
from ferry.cli.output import note, show


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
    show(assessment.dump(), describe(assessment), as_json)
    note(f"wrote {output}; next: ferry plan {output} --env prod", as_json)
