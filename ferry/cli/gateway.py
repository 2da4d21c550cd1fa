"""`ferry gateway run | validate | status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ferry.cli.options import Json
from ferry.cli.output import NO, console, note, show

if TYPE_CHECKING:
    from ferry.traffic.gateway.process import Event
    from ferry.traffic.gateway.status import Status

gateway = typer.Typer(
    help="The gateway at home: Envoy with the rendered configuration.", no_args_is_help=True, rich_markup_mode=None
)
Folder = Annotated[
    Path, typer.Argument(metavar="[FOLDER]", help="The gateway's folder, as in build/ENV/local/gateway [default: .].")
]


@gateway.command()
def run(
    folder: Folder = Path(),
    drain_seconds: Annotated[
        float | None,
        typer.Option(min=0, help="How long running answers may take to end when it is stopped [default: 30]."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run Envoy and start it again when it dies, until a signal: the first drains, a second one ends at once."""
    import signal

    from ferry.traffic.gateway import GatewayFolder
    from ferry.traffic.gateway.command import DRAIN_SECONDS, find_envoy
    from ferry.traffic.gateway.process import Supervisor

    place = GatewayFolder(folder)
    host, port = place.address()
    supervisor = Supervisor(
        place,
        find_envoy(),
        report=lambda event: _say(event, f"{host}:{port}", as_json),
        drain_seconds=DRAIN_SECONDS if drain_seconds is None else drain_seconds,
    )
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda number, frame: supervisor.stop())
    supervisor.run()


@gateway.command()
def validate(folder: Folder = Path(), as_json: Json = False) -> None:
    """Would Envoy take the folder's files, and is there what they name? Exit code 3: no."""
    from dataclasses import asdict

    from ferry.traffic.gateway import GatewayFolder
    from ferry.traffic.gateway.command import find_envoy
    from ferry.traffic.gateway.validate import validate as look_at

    findings = look_at(GatewayFolder(folder), find_envoy())
    valid = all(finding.level != "error" for finding in findings)
    lines = [f"{finding.level:8} {finding.what}: {finding.detail}" for finding in findings]
    show({"valid": valid, "findings": [asdict(finding) for finding in findings]}, "\n".join(lines), as_json)
    if not valid:
        raise typer.Exit(NO)


@gateway.command()
def status(folder: Folder = Path(), as_json: Json = False) -> None:
    """What Envoy does now: routes, health, requests. Exit code 3: it does not do what its files say."""
    from ferry.traffic.gateway import GatewayFolder
    from ferry.traffic.gateway.status import status as ask

    place = GatewayFolder(folder)
    found = ask(place)
    show(found.dump(), None if as_json else _table(found), as_json)
    if not found.in_step:
        note(f"{place.routes_file}: not what Envoy runs; it refused {found.routes_refused}, see its log", as_json)
    behind = [name for name, each in found.filters.items() if not each.in_step]
    for name in behind:
        note(f"{place.filter_file(name)}: not what Envoy runs, see its log", as_json)  # type: ignore[arg-type]
    if behind or not (found.ready and found.in_step):
        raise typer.Exit(NO)


def _table(found: Status) -> Any:
    from rich.console import Group
    from rich.table import Table

    clusters = Table("cluster", "weight", "healthy", "requests", "5xx", "connect failures", "running")
    for name, each in found.clusters.items():
        clusters.add_row(
            name,
            str(found.applied.weights.get(name, "")),
            f"{each.healthy} of {each.members}",
            *(f"{value:,}" for value in (each.requests, each.errors_5xx, each.connect_failures, each.active_requests)),
        )
    mirror = found.applied.mirror
    return Group(
        f"Envoy {found.envoy}, {'ready' if found.ready else 'not ready'}, for {found.uptime_seconds:,} s: "
        f"{found.requests:,} requests, {found.errors_5xx:,} with 5xx",
        f"routes {found.applied.version}{'' if found.in_step else f' (file: {found.written.version})'}"
        + (f", {mirror.percent} % mirrored to {mirror.cluster}" if mirror else ""),
        clusters,
        *(
            f"{name}: {'none loaded' if each.loaded_at is None else f'loaded {each.loaded_at}'}"
            + (f", {each.refused} refused" if each.refused else "")
            for name, each in found.filters.items()
        ),
    )


def _say(event: Event, address: str, as_json: bool) -> None:
    if as_json:
        import json
        import sys
        from dataclasses import asdict

        sys.stdout.write(json.dumps({**asdict(event), "lost_lines": event.lost_lines}) + "\n")
        sys.stdout.flush()
        return
    text = f"envoy {event.pid} {event.what}"
    if event.what == "serving":
        text += f" on {address}" + (f", {event.gap_ms:g} ms after the last one died" if event.gap_ms else "")
    else:
        text += f": {event.how}"
        if event.lost_lines is not None:
            text += (
                f"; {event.unasked_seconds:g} s before, it had completed {event.completed:,} requests; it logged "
                f"{event.logged:,} in all: {event.lost_lines:,} lines are lost for sure"
            )
    if event.not_noted is not None:
        text += f"; the audit will lack this, state/restarts.jsonl cannot be written: {event.not_noted}"
    console().print(text, markup=False, highlight=False, soft_wrap=True)
