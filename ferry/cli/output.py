"""What the commands print: results on standard output, notes and progress on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

FILE_COLUMNS = 120
"""Width of tables that go into a file or a pipe."""
NO = 3
"""The exit code of an answer that is "no"."""


def show(document: dict[str, Any], text: Any, as_json: bool) -> None:
    """Print a result: the document with `--json`, else its text."""
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        console().print(text)


def note(text: str, as_json: bool) -> None:
    """Print what comes next, or how far it is; nothing with `--json`."""
    if not as_json:
        console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def counting(
    what: str, *, quiet: bool, of: str = "resources", every: int = 25
) -> tuple[Callable[[int, str], None], ExitStack]:
    """Show how far a run is: a line that counts on a terminal, a plain line now and then elsewhere."""
    terminal = console(stderr=True)
    shown = ExitStack()
    if quiet:
        return lambda count, name: None, shown
    if not terminal.is_terminal:
        return lambda count, name: None if count % every else note(f"{what}: {count} {of}", False), shown
    status = shown.enter_context(terminal.status(f"{what} ..."))
    return lambda count, name: status.update(f"{what}: {count} {of}, {name}"), shown


@contextmanager
def working(what: str, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show what a run is doing: beside a spinner on a terminal, a plain line for each step elsewhere."""
    terminal = console(stderr=True)
    if quiet:
        yield lambda step: None
    elif terminal.is_terminal:
        with terminal.status(f"{what} ...") as status:
            yield lambda step: status.update(f"{what}: {step}")
    else:
        yield lambda step: note(f"{what}: {step}", False)


def reading(what: str, *, quiet: bool) -> tuple[Callable[[int, int], None], ExitStack]:
    """Show how far a long file is read: a bar on a terminal, a plain line every tenth elsewhere."""
    terminal, shown, said = console(stderr=True), ExitStack(), [0]
    if quiet:
        return lambda done, whole: None, shown

    def line(done: int, whole: int) -> None:
        tenth = 10 * done // whole
        if tenth > said[0]:
            said[0] = tenth
            size, unit = (1e9, "GB") if whole >= 1e10 else (1e6, "MB")
            note(f"{what}: {done / size:,.0f} of {whole / size:,.0f} {unit}", False)

    if not terminal.is_terminal:
        return line, shown
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=terminal, transient=True)
    task = bar.add_task(what, total=None, visible=False)
    shown.enter_context(bar)
    return lambda done, whole: bar.update(task, completed=done, total=whole, visible=True), shown


@contextmanager
def bar(what: str, *, of: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how much of a known whole is done: a bar on a terminal, a plain line for each tenth elsewhere."""
    terminal = console(stderr=True)
    if quiet:
        yield lambda done, whole: None
        return
    if terminal.is_terminal:
        from rich.progress import Progress

        with Progress(console=terminal, transient=True) as shown:
            task = shown.add_task(what, total=None)
            yield lambda done, whole: shown.update(task, completed=done, total=whole)
        return
    tenths: set[int] = set()

    def line(done: int, whole: int) -> None:
        tenth = 10 * done // max(whole, 1)
        if tenth not in tenths:
            tenths.add(tenth)
            note(f"{what}: {done} of {whole} {of}", False)

    yield line


def console(*, stderr: bool = False) -> Console:
    """A terminal or a file, with colours only on the former."""
    from rich.console import Console

    made = Console(stderr=stderr)
    if made.is_terminal or "COLUMNS" in os.environ:
        return made
    return Console(stderr=stderr, width=FILE_COLUMNS)
