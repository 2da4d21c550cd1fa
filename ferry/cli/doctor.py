"""`ferry doctor`."""

from __future__ import annotations

import typer

from ferry.cli.options import Json
from ferry.cli.output import show


def doctor(as_json: Json = False) -> None:
    """Say what is missing on this machine, what it is needed for, and how to get it."""
    from dataclasses import asdict

    from ferry.doctor import examine

    found = examine()
    lines = [
        f"{'ok     ' if one.found else 'MISSING' if one.required else 'absent '} {one.name:18} "
        + (one.found or f"for {one.used_for}; {one.remedy}")
        for one in found
    ]
    show({"needs": [asdict(one) for one in found]}, "\n".join(lines), as_json)
    if any(one.required and not one.found for one in found):
        raise typer.Exit(1)
