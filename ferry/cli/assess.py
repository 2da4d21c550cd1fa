"""`ferry assess`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ferry.cli.options import Json
from ferry.cli.output import counting, note, reading, show

if TYPE_CHECKING:
    from ferry.artefacts import Assessment
    from ferry.assess.discovery import Discovery


def assess(
    site: Annotated[
        Path | None, typer.Argument(metavar="SITE", help="site.yaml: what the site tells Ferry about itself.")
    ] = None,
    discover: Annotated[
        Path | None,
        typer.Option(
            "--discover", metavar="DIR", help="Find the inputs in a folder, and propose a site.yaml for them."
        ),
    ] = None,
    proposal: Annotated[
        Path | None,
        typer.Option("--site", metavar="FILE", help="Of --discover: write the proposed site.yaml, unless it is there."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE")] = Path("assessment.yaml"),
    as_json: Json = False,
) -> None:
    """Read the site's own measurements and say what is known, assumed and unknown."""
    if (site is None) == (discover is None):
        raise typer.BadParameter("give either a SITE or --discover DIR")
    if discover is not None:
        _discover(discover, proposal, output, as_json)
    elif site is not None:
        if proposal is not None:
            raise typer.BadParameter("--site goes with --discover")
        from ferry.assess.text import describe

        assessment = _assess(site, output, as_json)
        show(assessment.dump(), describe(assessment), as_json)
        note(f"wrote {output}; next: ferry plan {output} --env prod", as_json)


def _assess(site: Path, output: Path, as_json: bool) -> Assessment:
    from ferry import ledger
    from ferry.assess import assess as assess_site

    progress, shown = reading("reading requests", quiet=as_json)
    with shown:
        assessment = assess_site(site, artefact_folder=output.parent, progress=progress)
    assessment.write(output)
    ledger.append(output.parent, "assess", inputs=[site], outputs=[output], forced=False, result="done")
    return assessment


def _discover(folder: Path, proposal: Path | None, output: Path, as_json: bool) -> None:
    """Say what was found; assess where a site.yaml with everything in it is there, or follows from what was found."""
    from ferry.artefacts import write_whole
    from ferry.assess import discovery
    from ferry.assess.text import describe

    progress, done = counting("searching", quiet=as_json, of="files", every=1000)
    with done:
        found = discovery.discover(folder, site=proposal, progress=progress)
    written = proposal if proposal is not None and not proposal.exists() else None
    if written is not None:
        write_whole(written, found.site_yaml)
    complete = written if written is not None and not found.to_fill_in else None if written else found.base
    if as_json:
        assessment = _assess(complete, output, as_json) if complete else None
        more = {"written": str(written) if written else None, "assessment": assessment.dump() if assessment else None}
        show(found.dump() | more, None, as_json)
        return
    # First what was found: where the assessment is refused, that says why.
    show({}, discovery.describe(found), as_json)
    if (title := discovery.title(found)) is not None:
        show({}, title, as_json)
        # As it is: a line that is broken for the width of a terminal is another YAML.
        sys.stdout.write(f"\n{found.site_yaml}\n")
    if (missing := discovery.missing(found)) is not None:
        show({}, missing, as_json)
    if complete is not None:
        show({}, describe(_assess(complete, output, as_json)), as_json)
        note(f"wrote {output}; next: ferry plan {output} --env prod", as_json)
    note(_next(found, proposal, written), as_json)


def _next(found: Discovery, proposal: Path | None, written: Path | None) -> str:
    if written is not None:
        rest = f"; fill in {', '.join(found.to_fill_in)}, then: ferry assess {written}" if found.to_fill_in else ""
        return f"wrote {written}{rest}"
    if found.base is None:
        return f"wrote nothing; to keep the proposal: ferry assess --discover {found.folder} --site FILE"
    if not found.adds:
        return f"{found.base} is left as it is"
    other = "another FILE" if proposal is not None else "FILE"
    return f"{found.base} is left as it is; to keep the additions: --site {other}"
