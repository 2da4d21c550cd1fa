"""Request traces and logs of any size: what was asked, when, and how long it took.

`recognise(path)` tells a file's format from its head; `open_trace(path)` reads it with DuckDB, in bounded memory, into
one table of numbers whatever the format; `statistics.of(trace)` says its rates and quantiles.
"""

from ferry.traces.records import COLUMNS
from ferry.traces.trace import FORMATS, Arrays, Counts, Trace, open_trace, recognise

__all__ = ["COLUMNS", "FORMATS", "Arrays", "Counts", "Trace", "open_trace", "recognise"]
