"""What no fleet can do better, from the requests and the engine alone: the reasons to replay a candidate no further.

Each bound is below what a replay can give, whatever the routing and the scaling, so that nothing that would hold a
promise is ruled out. `tests/unit/planning/sweep` replays what is ruled out, and holds each bound to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ferry.planning.quantile import quantile
from ferry.simulation.fleet import SPOT_NOTICE_S, FleetSettings
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.workload import Floats, Workload

ROUNDING = 1 + 1e-9
"""The simulation adds up in another order: a bound has to be passed by more than that."""
TAIL = 0.01
"""Share of the requests beyond the 99th percentile."""
_HALVINGS = 6
_SHARES = (0.0, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class Bounds:
    """The bounds of one engine for one workload. Times in seconds."""

    workload: Workload
    replica: ReplicaSettings

    @cached_property
    def served(self) -> NDArray[np.bool_]:
        """bool[N]: not longer than the engine accepts."""
        replica = self.replica
        capacity = replica.kv_blocks * replica.block_tokens
        longest = capacity if replica.max_model_len is None else min(capacity, replica.max_model_len)
        lengths = self.workload.input_tokens.astype(np.int64) + self.workload.output_tokens
        return lengths <= longest

    @property
    def refused_share(self) -> float:
        """Exactly what a replay refuses."""
        return int((~self.served).sum()) / len(self.workload)

    @cached_property
    def ttft_p99_s(self) -> float:
        """99th percentile of the time to first token, each request alone on an engine.

        A prompt of n tokens needs k >= n / budget iterations, in each of which it is one sequence, and between them
        they process its n tokens; the pairs of its causal attention are the same however it is cut.
        """
        return quantile(self._first_s[self.served], 0.99) if self.served.any() else 0.0

    @cached_property
    def token_s(self) -> float:
        """Least time between two tokens of a request: one iteration with one sequence, without reading its cache."""
        time = self.replica.iteration_time
        return time.fixed + max(time.weights, time.per_token) + time.per_sequence

    @cached_property
    def tpot_p99_s(self) -> float:
        """99th percentile of the time between tokens; 0 where no answer has two."""
        return self.token_s if (self.workload.output_tokens[self.served] > 1).any() else 0.0

    @cached_property
    def latency_p99_s(self) -> float:
        """99th percentile from arrival to last token."""
        if not self.served.any():
            return 0.0
        rest = (self.workload.output_tokens - 1) * self.token_s
        return quantile((self._first_s + rest)[self.served], 0.99)

    def least_instances(self, ttft_slo_s: float) -> int:
        """The fewest instances with which the queue does not grow beyond the promise, in the worst window.

        If the 99th percentile of the time to first token is kept, all but a hundredth of the requests that come
        between a and b have begun by b + SLO, and of these at most max_sequences an instance are not finished: what is
        begun holds a place in the batch, preempted or not. The work of the others, counted as the smallest that there
        are, was done between a and b + SLO.
        """
        late = int(TAIL * self.served.sum() + 1e-9)
        most = 1
        for length, sums in self._windows:
            while not self._is_enough(most, length + ttft_slo_s, sums, late):
                most += 1
        return most

    def holds_for(self, start_s: float) -> bool:
        """Whether at most as many instances work as the group's largest size.

        An instance that drains works beside its successor only if that starts faster than the drain lasts.
        """
        return start_s >= max(SPOT_NOTICE_S, FleetSettings.deregistration_delay_s)

    def _is_enough(self, instances: int, seconds: float, sums: Floats, late: int) -> bool:
        finished = len(sums) - 1 - late - self.replica.max_sequences * instances
        return finished <= 0 or float(sums[finished]) <= instances * seconds * ROUNDING

    @cached_property
    def _first_s(self) -> Floats:
        time, replica = self.replica.iteration_time, self.replica
        tokens, cached = self._prompts
        chunks = np.ceil(tokens / replica.max_batched_tokens)
        pairs = tokens * cached + tokens * (tokens + 1) / 2
        matrices = np.maximum(chunks * time.weights, tokens * time.per_token)
        first: Floats = chunks * (time.fixed + time.per_sequence) + matrices + time.per_attention_pair * pairs
        return first

    @cached_property
    def _prompts(self) -> tuple[Floats, Floats]:
        """Tokens to process and tokens in the prefix cache, of each request."""
        inputs = self.workload.input_tokens.astype(np.float64)
        cached = self.workload.cached_tokens
        known = np.zeros_like(inputs) if cached is None else cached.astype(np.float64)
        return inputs - known, known

    @cached_property
    def _work_s(self) -> Floats:
        """Least time of an engine that each request takes up, in a batch that is always full.

        An iteration of S <= max_sequences sequences takes at least, for any share 0 <= s <= 1,
        S / max_sequences (fixed + s weights) + (1 - s) per_token T + per_sequence S + per_cached_token K
        + per_attention_pair A, which its sequences share out. The share that asks for most in all is taken. Reading
        the cache counts only where processing a preempted prompt again, in place of one step, costs more than the step.
        """
        time, replica = self.replica.iteration_time, self.replica
        tokens, cached = self._prompts
        steps = self.workload.output_tokens.astype(np.float64) - 1
        iterations = np.ceil(tokens / replica.max_batched_tokens) + steps
        pairs = tokens * cached + tokens * (tokens + 1) / 2
        read = steps * self.workload.input_tokens + steps * (steps + 1) / 2
        always = iterations * time.per_sequence + time.per_attention_pair * pairs
        best: Floats | None = None
        for share in _SHARES:
            slots = iterations * (time.fixed + share * time.weights) / replica.max_sequences
            matrices = (1 - share) * time.per_token
            work: Floats = always + slots + matrices * (tokens + steps)
            if matrices >= 2 * time.per_cached_token:
                work = work + time.per_cached_token * read
            if best is None or work[self.served].sum() > best[self.served].sum():
                best = work
        assert best is not None  # noqa: S101  (there are shares)
        return best

    @cached_property
    def _windows(self) -> list[tuple[float, Floats]]:
        """Length, and sums of the 0, 1, 2, … smallest works, of windows from the whole trace down to a 32nd of it."""
        arrival = self.workload.arrival_s[self.served]
        work = self._work_s[self.served]
        if not len(arrival):
            return []
        start, whole = float(arrival[0]), float(arrival[-1] - arrival[0])
        found = []
        for halving in range(_HALVINGS):
            length = whole / 2**halving
            for step in range(2 ** (halving + 1) - 1):
                begin = start + step * length / 2
                inside = slice(np.searchsorted(arrival, begin), np.searchsorted(arrival, begin + length, side="right"))
                found.append((length, np.concatenate([[0.0], np.cumsum(np.sort(work[inside]))])))
        return found
