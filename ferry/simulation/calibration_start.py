"""Where a fit starts when nothing is known of the hardware: an accelerator or a model that no catalogue has."""

from __future__ import annotations

import numpy as np

from ferry.errors import InvalidField
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.measured_requests import MeasuredRequests

FIXED_SHARE = 0.1
"""Of the fastest step, what the host takes: assumed."""
TOKENS_AS_LONG_AS_WEIGHTS = 256
"""Tokens whose multiplications take as long as reading 16-bit weights: dense FLOPs over bytes/s, 153 of an A100, 295 of
an H100, 403 of an L4 (ferry/catalog/accelerators.csv)."""
PAIR_PER_TOKEN = 3e-5
"""Attention of a pair of tokens over a token's other operations: 4 x 32 layers x 4096 / (2 x 8e9) of Llama-3.1-8B."""
SEQUENCE_PER_STEP = 2e-4
"""Sampling of a sequence over the fastest step: assumed."""


def start_from(measured: MeasuredRequests) -> IterationTime:
    """A rough guess from the fastest and the slowest steps of a run. Raises InvalidField without a second token."""
    tpot = measured.serving_times().tpot_s
    tpot = tpot[np.isfinite(tpot) & (tpot > 0)]
    if not len(tpot):
        raise InvalidField("calibration: no request has a second token; the time between tokens cannot be fitted")
    fastest, slowest = np.percentile(tpot, [1, 99]).tolist()
    busy = (measured.last_token_s - measured.first_token_s).sum() / float(np.ptp(measured.last_token_s) or fastest)
    context = float((measured.workload.input_tokens + measured.workload.output_tokens / 2).mean())
    weights = (1 - FIXED_SHARE) * fastest
    return IterationTime(
        fixed=FIXED_SHARE * fastest,
        weights=weights,
        per_token=weights / TOKENS_AS_LONG_AS_WEIGHTS,
        per_sequence=SEQUENCE_PER_STEP * fastest,
        per_cached_token=max(slowest - fastest, 0.1 * fastest) / (max(1.0, float(busy)) * context),
        per_attention_pair=weights / TOKENS_AS_LONG_AS_WEIGHTS * PAIR_PER_TOKEN,
    )
