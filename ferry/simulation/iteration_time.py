"""How long one iteration of an engine takes, from what is in its batch."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields

from ferry.errors import InvalidField


@dataclass(frozen=True, kw_only=True)
class IterationTime:
    """Coefficients in seconds. An iteration takes

        fixed + max(weights, per_token T) + per_sequence S + per_cached_token K + per_attention_pair A

    with T tokens and S sequences in the batch, K tokens of KV cache that decoding sequences read, and A pairs of
    tokens in the causal attention of prompts: a chunk of n after m computed tokens adds n (m + (n + 1) / 2).
    Reading the weights and multiplying by them overlap, so that the longer one counts (a roofline, Williams et al.,
    CACM 2009). Raises InvalidField when a coefficient is negative or not finite, or an empty step would take no time.
    """

    fixed: float
    weights: float = 0.0
    per_token: float = 0.0
    per_sequence: float = 0.0
    per_cached_token: float = 0.0
    per_attention_pair: float = 0.0

    def __post_init__(self) -> None:
        for field, value in zip(fields(self), astuple(self), strict=True):
            if not (math.isfinite(value) and value >= 0):
                raise InvalidField(f"iteration time: {field.name} is {value!r} s; it must be a number of at least 0")
        if not self.fixed + self.weights > 0:
            raise InvalidField("iteration time: fixed and weights are both 0 s; one of them must be more than 0")

    def seconds(self, *, tokens: float, sequences: float, cached_tokens: float, attention_pairs: float) -> float:
        """Time of one iteration with that batch."""
        matrices = max(self.weights, self.per_token * tokens)
        return (
            self.fixed
            + matrices
            + self.per_sequence * sequences
            + self.per_cached_token * cached_tokens
            + self.per_attention_pair * attention_pairs
        )
