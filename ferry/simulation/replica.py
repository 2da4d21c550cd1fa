"""One engine of the fleet: how it batches, how much KV cache it has, and how long its iterations take."""

from __future__ import annotations

from dataclasses import dataclass

from ferry.errors import InvalidField
from ferry.simulation.iteration_time import IterationTime

MOST = {"max_sequences": 2**16, "max_batched_tokens": 2**24, "kv_blocks": 2**30, "block_tokens": 1024}
LEAST_ITERATION_S = 1e-6


@dataclass(frozen=True, kw_only=True)
class ReplicaSettings:
    """Continuous batching with chunked prefill, as vLLM V1 schedules it.

    max_sequences:         most requests in a batch (vLLM: --max-num-seqs)
    max_batched_tokens:    most tokens in an iteration (--max-num-batched-tokens), at least max_sequences
    kv_blocks:             blocks of KV cache; block_tokens, a power of two, tokens in each
    max_model_len:         most input and output tokens of a request, together; None is no limit but the KV cache
    lookahead_iterations:  1 when the engine composes an iteration while the one before it runs (vLLM's asynchronous
                           scheduling, default since 0.14), 0 when it waits for its end

    Raises InvalidField.
    """

    iteration_time: IterationTime
    max_sequences: int
    max_batched_tokens: int
    kv_blocks: int
    block_tokens: int = 16
    max_model_len: int | None = None
    lookahead_iterations: int = 1

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise InvalidField(f"replica: {name} is {getattr(self, name)}; it must be 1 … {most}")
        empty_s = self.iteration_time.fixed + self.iteration_time.weights
        if empty_s < LEAST_ITERATION_S:
            raise InvalidField(
                f"replica: an iteration takes {empty_s:g} s beside what is in its batch (fixed and weights); "
                f"it must be at least {LEAST_ITERATION_S:g} s"
            )
        if self.max_batched_tokens < self.max_sequences:
            raise InvalidField(
                f"replica: max_batched_tokens is {self.max_batched_tokens}, less than max_sequences, "
                f"{self.max_sequences}; each sequence needs a token in each iteration"
            )
        if self.block_tokens & (self.block_tokens - 1):
            raise InvalidField(f"replica: block_tokens is {self.block_tokens}; it must be a power of two")
        if self.max_model_len is not None and self.max_model_len < 2:
            raise InvalidField(f"replica: max_model_len is {self.max_model_len}; it must be at least 2, or not given")
        if self.lookahead_iterations not in (0, 1):
            raise InvalidField(f"replica: lookahead_iterations is {self.lookahead_iterations}; it must be 0 or 1")
