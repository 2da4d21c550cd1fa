"""`ferry plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ferry.cli.options import Force, Json
from ferry.cli.output import NO, bar, note, show


def plan(
    assessment: Annotated[Path, typer.Argument(metavar="ASSESSMENT", help="The file that `ferry assess` wrote.")],
    environment: Annotated[str, typer.Option("--env", metavar="ENV", help="dev, staging, prod, prod-cn, or your own.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE")] = Path("plan.yaml"),
    serving: Annotated[
        str | None, typer.Option("--serving", metavar="NAME", help="Which service moves, where a site has several.")
    ] = None,
    region: Annotated[str | None, typer.Option("--region", metavar="REGION", help="Plan for this region only.")] = None,
    quantization: Annotated[
        str | None,
        typer.Option("--quantization", metavar="KIND", help="Plan a quantised copy of the model: fp8, or awq (4 bit)."),
    ] = None,
    check_account: Annotated[
        bool, typer.Option("--check-account", help="Also read the account's quotas, zones and Spot placement scores.")
    ] = False,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="Replay the requests against thousands of fleets, and plan the best that holds."),
    ] = False,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="WHAT", help="With --sweep, what is best: cost, carbon, ttft, latency (P99)."),
    ] = None,
    grid: Annotated[
        Path | None, typer.Option("--grid", metavar="FILE", help="With --sweep, what is searched (ferry/grid/v1).")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FILE", help="With --sweep, requests instead of the site's own.")
    ] = None,
    load: Annotated[
        float | None,
        typer.Option("--load", metavar="X", help="With --sweep, X times as many requests in the same time."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="With --sweep, of what is drawn at random [default: 0].")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="With --sweep, processes [default: one a core].")
    ] = None,
    dask: Annotated[
        str | None, typer.Option("--dask", metavar="ADDRESS", help="With --sweep, a Dask scheduler: tcp://host:8786.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Size and price the move, and give a verdict: go, conditional, defer or stay (exit 3)."""
    from ferry import ledger
    from ferry.artefacts import write_whole
    from ferry.planning import account
    from ferry.planning import plan as make_plan
    from ferry.planning.text import describe

    pictures: dict[Path, bytes] = {}
    swept = None
    if sweep:
        if quantization is not None:
            raise typer.BadParameter("a sweep searches quantisations: name them under quantizations in --grid FILE")
        from ferry.planning.sweep.picture import picture
        from ferry.planning.sweep.sweep import sweep as search_fleets
        from ferry.planning.sweep.text import describe as describe_sweep

        with bar("searching", of="candidates", quiet=as_json) as progress:
            swept = search_fleets(
                assessment,
                environment=environment,
                serving=serving,
                region=region,
                by=by or "cost",
                grid_path=grid,
                trace=trace,
                load=load or 1.0,
                seed=seed or 0,
                worker_count=workers,
                dask=dask,
                force=force,
                artefact_folder=output.parent,
                progress=progress,
            )
        made = swept.plan
        pictures[output.with_name("sweep.svg")] = picture(swept.sweep, swept.found.answers)
    else:
        given = {"by": by, "grid": grid, "trace": trace, "load": load, "seed": seed, "workers": workers, "dask": dask}
        if alone := [f"--{name}" for name, value in given.items() if value is not None]:
            raise typer.BadParameter(f"{', '.join(alone)} without --sweep says nothing: add --sweep, or leave it out")
        made = make_plan(
            assessment,
            environment=environment,
            serving=serving,
            region=region,
            quantization=quantization,
            force=force,
            artefact_folder=output.parent,
        )
    checked = account.check_account(made) if check_account else None
    outputs = [output]
    if swept is not None:
        outputs += [output.with_name("sweep.yaml"), *pictures]
        swept.sweep.write(output.with_name("sweep.yaml"))
        for path, content in pictures.items():
            write_whole(path, content)
    made.write(output)
    inputs = [assessment, *(path for path in (trace, grid) if path is not None)]
    ledger.append(output.parent, "plan", inputs=inputs, outputs=outputs, forced=force, result=made.verdict)
    if swept is not None and not as_json:
        show({}, describe_sweep(swept.sweep), as_json)
    document = made.dump() if checked is None else {**made.dump(), "account": checked.dump()}
    if swept is not None:
        document["sweep"] = swept.sweep.dump()
    show(document, describe(made), as_json)
    if checked is not None and not as_json:
        show({}, account.describe(checked), as_json)
    written = ", ".join(str(path) for path in outputs)
    if made.verdict == "stay":
        note(
            f"wrote {written}; the verdict is stay. To go on all the same: ferry render {output} --override-verdict",
            as_json,
        )
        raise typer.Exit(NO)
    note(f"wrote {written}; next: ferry render {output}", as_json)
