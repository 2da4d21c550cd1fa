"""Reading the catalogue's CSV files, and naming what is near to a name that they do not have.

Prices that `ferry catalog refresh` read from AWS lie in a folder of their own, and come before those that ship.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path

from ferry.errors import CatalogError

_refreshed: list[Path] = []


def read_first(folder: Path | None) -> None:
    """Prices of this folder come before the shipped ones from now on; None: only the shipped ones."""
    _refreshed[:] = [] if folder is None else [folder]


def refreshed() -> Path | None:
    """The folder whose prices come first, where there is one."""
    return _refreshed[0] if _refreshed else None


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """All rows of `ferry/catalog/<name>.csv`, in the file's order."""
    text = resources.files(__package__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def rows_of(path: Path, columns: Iterable[str]) -> tuple[dict[str, str], ...]:
    """All rows of a refreshed file, none where there is no file. Raises CatalogError where its columns are others."""
    if not path.is_file():
        return ()
    reader = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    if list(reader.fieldnames or []) != list(columns):
        raise CatalogError(f"{path}: its columns are not those of this Ferry; delete it and run ferry catalog refresh")
    return tuple(reader)


def nearest(name: str, known: Iterable[str], count: int = 5) -> str:
    """The known names nearest to `name`, as a phrase for an error message."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=count, cutoff=0.4)
    shown = close or names[:count]
    if not shown:
        return "it has none"
    return ("nearest: " if close else "it has: ") + ", ".join(shown)
