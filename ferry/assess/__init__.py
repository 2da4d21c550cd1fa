"""What a site has: reads its own measurements and says what is measured, assumed and unknown.

One module or package per kind of input, each with a pure `parse` from text to facts and findings: `site`,
`collectives`, `gpus`, `prometheus` (which also asks a live one), `models`, `deployments`, `trace` (on `ferry.traces`).
`discovery` finds them in a folder. `crosschecks` holds them against each other, `synchronisation` follows from the
collectives, `assessment` composes, `text` says it to a person.
"""

from ferry.assess.assessment import assess

__all__ = ["assess"]
