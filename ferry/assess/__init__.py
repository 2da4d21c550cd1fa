"""What a site has: reads its own measurements and says what is measured, assumed and unknown.

One module per kind of input, each with a pure `parse` from text to facts and findings: `site`, `nccl`, `prometheus`
(and `prometheus_server`, which asks a live one), `model` with `weights` and `parameters`, `trace`, `gpus`.
`crosschecks` holds them against each other, `assessment` composes, `text` says it to a person.
"""

from ferry.assess.assessment import assess

__all__ = ["assess"]
