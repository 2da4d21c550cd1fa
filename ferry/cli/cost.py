"""`ferry cost`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ferry.cli.options import Force, Json
from ferry.cli.output import console, note, show
from ferry.errors import InvalidField, UnreadableInput

if TYPE_CHECKING:
    from ferry.artefacts import Assessment, Plan


def cost(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="PLAN|ASSESSMENT", help="A plan, or an assessment, which is then planned in memory."),
    ] = None,
    assessment: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: the one that the plan was made from]")
    ] = None,
    horizon_months: Annotated[
        int | None,
        typer.Option(metavar="N", help="1 to 240 [default: what is left of the servers' life, else 36]."),
    ] = None,
    purchase: Annotated[
        str, typer.Option(metavar="WAY", help="on-demand, spot, savings-1yr or savings-3yr.")
    ] = "on-demand",
    rate: Annotated[
        list[str] | None, typer.Option("--rate", metavar="PAIR=N", help="An exchange rate, such as USD/CNY=7.1.")
    ] = None,
    discount_rate: Annotated[float, typer.Option(metavar="SHARE", help="A year's, 0 to below 1.")] = 0.0,
    ranges: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML that replaces ranges of ferry/cost/ranges.yaml by name.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the simulation's random numbers.")] = 1,
    draws: Annotated[int, typer.Option(metavar="N", help="Of the simulation.")] = 2000,
    article: Annotated[
        bool, typer.Option("--article", help="Recompute what the source article claims; needs no file.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Also write the pictures there, as SVG.")
    ] = None,
    serving: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which service moves, for an assessment with several.")
    ] = None,
    region: Annotated[str | None, typer.Option(metavar="REGION", help="Where to, for an assessment.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """What staying and moving cost over years: totals, break-evens, what matters most, how sure it is."""
    if article == (file is not None):
        raise typer.BadParameter("give either a PLAN or ASSESSMENT, or --article")
    today = datetime.now(UTC).date()
    if file is None:
        _article(today, as_json)
        return

    from ferry.cost.purchase import PURCHASES
    from ferry.cost.rates import rates
    from ferry.cost.report import Options, evaluate
    from ferry.cost.text import describe

    way = next((one for one in PURCHASES if one == purchase), None)
    if way is None:
        raise InvalidField(f"--purchase {purchase}: expected {', '.join(PURCHASES)}")
    facts, made = _inputs(file, assessment, serving, region, force)
    options = Options(
        today=today,
        rates=rates(rate or [], facts.costs.exchange_rates),
        months=horizon_months,
        purchase=way,
        discount_rate=Decimal(repr(discount_rate)),
        ranges=ranges,
        seed=seed,
        draws=draws,
    )
    counting, progress = _drawing(draws, quiet=as_json)
    with counting:
        report = evaluate(facts, made, options, progress=progress)
    if output is not None:
        from ferry.artefacts import write_whole
        from ferry.cost.plots import plots

        for name, content in plots(report).items():
            write_whole(output / name, content)
            note(f"wrote {output / name}", as_json)
    show(report.dump(), describe(report), as_json)


def _article(today: date, as_json: bool) -> None:
    from ferry.cost.article import claims, stale
    from ferry.cost.article.text import describe
    from ferry.simulation.boot import seconds

    found = claims(seconds)
    old = stale(found, today)
    show({"claims": [claim.dump() for claim in found], "stale_prices": old}, describe(found, old), as_json)


def _inputs(
    file: Path, assessment: Path | None, serving: str | None, region: str | None, force: bool
) -> tuple[Assessment, Plan]:
    """The assessment and the plan that a file stands for."""
    from ferry.artefacts import Assessment, Plan, read, read_yaml
    from ferry.planning import plan

    if read_yaml(file).get("schema") == Assessment.SCHEMA:
        if assessment is not None:
            raise InvalidField(f"--assessment {assessment}: {file} is an assessment itself")
        made = plan(file, environment="prod", serving=serving, region=region, force=force)
        return read(Assessment, file, force=force), made
    if serving is not None or region is not None:
        raise InvalidField(f"--serving and --region belong to an assessment; {file} is a plan and names both")
    made = read(Plan, file, force=force)
    if assessment is None:
        if not made.made_from:
            raise UnreadableInput(f"{file}: does not say what it was made from; name it with --assessment FILE")
        assessment = file.parent / made.made_from[0].path
    return read(Assessment, assessment, force=force), made


def _drawing(draws: int, *, quiet: bool) -> tuple[AbstractContextManager[object], Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere: the simulation takes seconds."""
    from rich.progress import Progress

    terminal = console(stderr=True)
    if quiet or not terminal.is_terminal:
        return nullcontext(), lambda number: None
    bar = Progress(console=terminal, transient=True)
    task = bar.add_task("drawing", total=draws)
    return bar, lambda number: None if number % 100 else bar.update(task, completed=number)
