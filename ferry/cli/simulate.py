"""`ferry simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ferry.cli.options import Force, Json, PlanFile
from ferry.cli.output import note, show, working


def simulate(
    plan_file: PlanFile,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            metavar="NAME|FILE",
            help="plan, article, target-tracking, schedule, none, or a YAML file; several are compared [default: all].",
        ),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FILE", help="Requests to replay instead of the site's own.")
    ] = None,
    load: Annotated[float, typer.Option("--load", metavar="X", help="X times as many requests in the same time.")] = 1,
    stretch: Annotated[
        float, typer.Option("--stretch", metavar="X", help="X times as much time between requests.")
    ] = 1,
    initial: Annotated[
        int | None, typer.Option("--initial", metavar="N", help="Instances at the start [default: the plan's minimum].")
    ] = None,
    spot_share: Annotated[
        float | None,
        typer.Option(
            "--spot-share", metavar="SHARE", min=0, max=1, help="Share of Spot above the plan's base, 0 to 1."
        ),
    ] = None,
    spot_recording: Annotated[
        Path | None,
        typer.Option("--spot-recording", metavar="FILE", help="JSON of how many Spot Instances were there, and when."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of what is drawn at random.")] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE")] = Path("simulation.yaml"),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Replay the site's requests against the plan's fleet, under several scaling policies and batch limits."""
    if spot_recording is not None and not spot_share:
        raise typer.BadParameter("--spot-recording says nothing without --spot-share above 0")
    from ferry import ledger
    from ferry.artefacts import write_whole
    from ferry.planning.replay import plots, replay
    from ferry.planning.replay.replay import EVERY
    from ferry.planning.replay.text import describe

    with working("simulating", quiet=as_json) as progress:
        simulation, results = replay(
            plan_file,
            names=policy or EVERY,
            trace=trace,
            load=load,
            stretch=stretch,
            initial=initial,
            spot_share=spot_share,
            spot_recording=spot_recording,
            seed=seed,
            force=force,
            artefact_folder=output.parent,
            progress=progress,
        )
    pictures = {
        output.with_suffix(".svg"): plots.over_time(simulation, results),
        output.with_name(f"{output.stem}-batch.svg"): plots.by_batch_limit(simulation),
    }
    simulation.write(output)
    for path, picture in pictures.items():
        write_whole(path, picture)
    inputs = [plan_file, *(path for path in (trace, spot_recording) if path)]
    ledger.append(output.parent, "simulate", inputs=inputs, outputs=[output, *pictures], forced=force, result="done")
    show(simulation.dump(), describe(simulation), as_json)
    note(f"wrote {', '.join(str(path) for path in [output, *pictures])}", as_json)
