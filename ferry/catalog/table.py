"""Reading the catalogue's CSV files, and naming what is near to a name that they do not have."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable
from functools import cache
from importlib import resources


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """All rows of `ferry/catalog/<name>.csv`, in the file's order."""
    text = resources.files(__package__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def nearest(name: str, known: Iterable[str], count: int = 5) -> str:
    """The known names nearest to `name`, as a phrase for an error message."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=count, cutoff=0.4)
    shown = close or names[:count]
    if not shown:
        return "it has none"
    return ("nearest: " if close else "it has: ") + ", ".join(shown)
