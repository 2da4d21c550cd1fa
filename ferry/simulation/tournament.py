"""A tournament over the instances: the least key in one look, a changed key in log2(instances) comparisons.

The leaves, a power of two of them, are the last half of the nodes; node n has the least key of nodes 2 n and 2 n + 1,
and the leaf that it is from, the lowest one of equal keys. Node 1 is the winner.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferry.simulation.compiled import inlined
from ferry.simulation.workload import Integers


def tournament(keys: NDArray[Any]) -> tuple[NDArray[Any], Integers]:
    """Keys and leaves of all nodes, two arrays of 2 len(keys); those of node 0 mean nothing."""
    count = len(keys)
    key = np.concatenate([keys, keys])
    leaf = np.concatenate([np.zeros(count, np.int32), np.arange(count, dtype=np.int32)])
    for node in range(count - 1, 0, -1):
        better = 2 * node + int(key[2 * node + 1] < key[2 * node])
        key[node], leaf[node] = key[better], leaf[better]
    return key, leaf


@inlined
def update(key: NDArray[Any], leaf: Integers, changed: int, value: Any) -> None:
    """Give the leaf `changed` the key `value`."""
    node = changed + (len(key) >> 1)
    best = changed
    key[node] = value
    while node > 1:
        other = node ^ 1
        # Which branch is taken cannot be foreseen, so there is none. Equal keys: the left one's leaf is lower.
        is_other = (key[other] < value) | ((key[other] == value) & (other < node))
        value = key[other] if is_other else value
        best = leaf[other] if is_other else best
        node >>= 1
        key[node] = value
        leaf[node] = best
