"""Quantiles of what was simulated."""

from __future__ import annotations

import math

import numpy as np

from ferry.simulation.workload import Floats


def quantile(values: Floats, share: float) -> float:
    """Nearest rank."""
    rank = max(1, math.ceil(share * len(values) - 1e-9))
    return float(np.partition(values, rank - 1)[rank - 1])
