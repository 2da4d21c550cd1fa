"""How far a cutover is: a live table on a terminal, a plain line when something changes elsewhere."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from ferry.cli.output import console, note

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from ferry.traffic.cutover.controller import Told

SECONDS_BETWEEN_LINES = 30.0
COLUMNS = (
    ("requests", "{side}.requests", ""),
    ("needed", "{side}.required", ""),
    ("errors", "errors.{side}.count", ""),
    ("P99 of TTFT", "ttft.{side}.p99", "ttft.unit"),
    ("P99 of TPOT", "tpot.{side}.p99", "tpot.unit"),
)
"""Title, the gate's figure, and the figure that is its unit."""


class Progress:
    """Told at each tick. Use as a context manager."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._shown = quiet, ExitStack()
        self._live: Live | None = None
        self._said: tuple[str, str] = ("", "")
        self._at = 0.0

    def __enter__(self) -> Progress:
        terminal = console(stderr=True)
        if not self._quiet and terminal.is_terminal:
            from rich.live import Live

            self._live = self._shown.enter_context(Live(console=terminal, transient=True, auto_refresh=False))
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.close()

    def __call__(self, told: Told) -> None:
        """Show where it is."""
        if self._live is not None:
            self._live.update(table(told), refresh=True)
        elif not self._quiet:
            self._line(told)

    def _line(self, told: Told) -> None:
        from ferry.traffic.cutover.text import describe_tick

        said = (told.step, told.action)
        if said != self._said or told.elapsed_seconds - self._at >= SECONDS_BETWEEN_LINES:
            self._said, self._at = said, told.elapsed_seconds
            note(describe_tick(told), False)


def table(told: Told) -> Table:
    """Both sides of a step, and what is decided."""
    from rich.table import Table
    from rich.text import Text

    from ferry.traffic.cutover.text import duration, figure

    caption = Text(f"{told.action}: {told.reason}")
    title = f"{told.step} · {told.division} to the candidate · {duration(told.elapsed_seconds)}"
    shown = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    shown.add_column("")
    for name, *_ in COLUMNS:
        shown.add_column(name, justify="right")
    for side in ("baseline", "candidate"):
        shown.add_row(side, *(figure(told.figures, key.format(side=side), unit) for _, key, unit in COLUMNS))
    return shown
