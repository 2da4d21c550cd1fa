"""`ferry render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ferry.cli.options import Force, Json, PlanFile, Project
from ferry.cli.output import note, show


def render(
    plan_file: PlanFile,
    project: Project = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where build files go [default: PROJECT/build/ENV]."),
    ] = None,
    signing_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Ed25519 key that signs what nodes run [default: PROJECT/.ferry/signing-key.pem, made when missing].",
        ),
    ] = None,
    gateway_address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where the gateway at home listens [default: 127.0.0.1:8080]."),
    ] = None,
    engine_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where the engine at home listens [default: its own port on 127.0.0.1]."
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CA certificates that the gateway trusts for the cloud [default: the system's]."
        ),
    ] = None,
    exporters: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Exporters on each server at home, of dcgm, node, ipmi, smartctl: alert rules for what they tell "
            "[default: dcgm,node; without NVIDIA GPUs: node].",
        ),
    ] = None,
    override_verdict: Annotated[
        bool, typer.Option("--override-verdict", help="Render although the verdict is stay; the ledger says so.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the stack file, and the hybrid template: what stays at home and what runs in the cloud."""
    from ferry import ledger
    from ferry.project import project_at
    from ferry.render import Addresses
    from ferry.render import render as render_plan
    from ferry.render.alerts import exporters_named

    rendered = render_plan(
        plan_file,
        project=project_at(project),
        out=output,
        signing_key=signing_key,
        override_verdict=override_verdict,
        force=force,
        addresses=Addresses.named(gateway=gateway_address, engine=engine_address, ca_file=ca_file),
        exporters=None if exporters is None else exporters_named(exporters),
    )
    ledger.append(
        plan_file.parent,
        "render",
        inputs=[plan_file],
        outputs=[file.path for file in rendered.files],
        forced=force or override_verdict,
        result="verdict overridden" if override_verdict else "done",
    )
    lines = [f"{file.change:9} {_short(file.path)}" for file in rendered.files]
    show(rendered.dump(), "\n".join([*lines, *rendered.notes]), as_json)
    note(f"next: ferry rehearse {plan_file}", as_json)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
