"""`ferry models plan-transfer`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ferry.cli.options import Json
from ferry.cli.output import NO, show

if TYPE_CHECKING:
    from ferry.artefacts import Figure
    from ferry.assess.site import Site


def plan_transfer(
    site_file: Annotated[Path, typer.Argument(metavar="SITE", help="site.yaml, with location.uplink_mbps.")],
    days: Annotated[float, typer.Option("--days", metavar="N", help="How soon everything is to be there.")],
    size_gb: Annotated[
        float | None,
        typer.Option(metavar="GB", help="What is moved, in 10^9 bytes [default: the weights of the served models]."),
    ] = None,
    share: Annotated[
        float | None, typer.Option(metavar="0..1", help="Part of the uplink for it [default: half].")
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(metavar="REGION", help="For prices [default: the first that the site allows]."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say how long one uplink takes, and what AWS offers beyond it. Exit code 3: it takes longer than wanted."""
    from ferry.artefacts.figures import assumed, unknown
    from ferry.assess.site import read_site
    from ferry.models import transfer_plan

    site = read_site(site_file)
    mbps = site.location.uplink_mbps
    allowed = site.constraints.regions_allowed
    plan = transfer_plan.plan_transfer(
        _size(site, site_file.parent) if size_gb is None else assumed(size_gb * 1e9, "bytes", "--size-gb"),
        unknown("Mbit/s") if mbps is None else assumed(mbps, "Mbit/s", f"{site_file.name}: location.uplink_mbps"),
        wanted_days=days,
        share=transfer_plan.DEFAULT_SHARE if share is None else share,
        region=region or (allowed[0] if allowed else None),
    )
    show(plan.dump(), transfer_plan.describe(plan), as_json)
    if not plan.kept:
        raise typer.Exit(NO)


def _size(site: Site, folder: Path) -> Figure:
    """The weights of the models that are served, each folder once."""
    from ferry.artefacts.figures import Figure, unknown
    from ferry.assess.models import read_model

    models = {part.model: read_model(folder / part.model, str(part.model)).facts.weight_bytes for part in site.serving}
    if any(size.value is None for size in models.values()):
        return unknown("bytes", "a model's weights are not there")
    basis = "measured" if all(size.basis == "measured" for size in models.values()) else "assumed"
    total = sum(size.value or 0 for size in models.values())
    return Figure(value=total, unit="bytes", basis=basis, source=", ".join(map(str, models)))
