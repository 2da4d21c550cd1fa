"""Pictures as part of the page. As images, so that nothing in a file that somebody changed is run."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path


def data_uri(svg: bytes) -> str:
    """An SVG as the source of an image."""
    return f"data:image/svg+xml;base64,{b64encode(svg).decode()}"


def beside(simulation: Path) -> list[str]:
    """The pictures that `ferry simulate` wrote with a simulation, as far as they are there."""
    names = (simulation.with_suffix(".svg"), simulation.with_name(f"{simulation.stem}-batch.svg"))
    return [data_uri(path.read_bytes()) for path in names if path.is_file()]
