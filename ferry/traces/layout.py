"""What the columns of one format mean, whatever its file is written in."""

from __future__ import annotations

from dataclasses import dataclass, field

from ferry.traces.values import Time, Value

# Where text is generated. Embeddings, model lists, health checks and administration are not.
GENERATES = (
    r"^POST [^ ?]*/(?:(?:chat/)?completions|v1/(?:messages|responses)|generate(?:_stream)?|infer|invocations|"
    r"api/(?:chat|generate))/?(?:[? ]|$)"
)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of a format, as SQL over the row `r`; None: the format does not have it."""

    name: str
    time: Time | None = None
    time_is: str = "start"
    """`start`: when a request arrived; `end`: when it was answered, and the log line written."""
    yearless: bool = False
    relative: bool = False
    input_tokens: Value | None = None
    output_tokens: Value | None = None
    cached_tokens: Value | None = None
    latency: Value | None = None
    ttft: Value | None = None
    status: Value | None = None
    model: str | None = None
    request: str | None = None
    """SQL for `METHOD path`: only requests that generate text count."""
    only: str | None = None
    """SQL: which rows are of requests at all."""
    blocks: str | None = None
    """SQL for the hashes of a prompt's blocks, in order."""
    required: frozenset[str] = frozenset()
    """Columns that every row of this format has: a row without one is damaged."""
    notes: tuple[str, ...] = field(default=())
    """What such a log cannot tell, and what was taken for what."""

    def values(self) -> dict[str, Value]:
        """The columns that it has, by name."""
        known = {
            "time": self.time,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "latency": self.latency,
            "ttft": self.ttft,
            "status": self.status,
        }
        return {name: value for name, value in known.items() if value is not None}
