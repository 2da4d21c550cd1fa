"""What a site has: reads its own measurements and says what is measured, assumed and unknown.

One module or package per kind of input, each with a pure `parse` from text to facts and findings: `site`,
`collectives`, `gpus`, `prometheus` (which also asks a live one), `models`, `deployments`, `trace` (on `ferry.traces`).
`discovery` finds them in a folder. `crosschecks` holds them against each other, `synchronisation` follows from the
collectives, `assessment` composes, `text` says it to a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferry.assess.assessment import assess

__all__ = ["assess"]


def __getattr__(name: str) -> Any:
    # Who reads one kind of input (a push reads the model's facts) need not wait for duckdb and all the others.
    if name == "assess":
        from ferry.assess.assessment import assess

        return assess
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
