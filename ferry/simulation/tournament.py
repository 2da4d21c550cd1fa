"""A tournament over the instances: the least key in one look, a changed key in log2(instances) comparisons.

`key[leaf]` are the keys, one for each leaf, a power of two of them; `winner[1]` is the leaf with the least key, the
lowest leaf of equal ones; `winner[n]` is the winner of nodes 2 n and 2 n + 1, and the leaves start at len(key).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferry.simulation.compiled import inlined


def winners(key: NDArray[Any]) -> NDArray[np.int32]:
    """int32[2 len(key)]: the tournament of all keys."""
    leaves = len(key)
    winner = np.zeros(2 * leaves, dtype=np.int32)
    winner[leaves:] = np.arange(leaves)
    for node in range(leaves - 1, 0, -1):
        left, right = winner[2 * node], winner[2 * node + 1]
        winner[node] = left if key[left] <= key[right] else right
    return winner


@inlined
def update(key, winner, leaf):  # type: ignore[no-untyped-def]
    """Play again what `leaf` takes part in, after its key has changed."""
    node = (leaf + len(key)) >> 1
    while node >= 1:
        left, right = winner[2 * node], winner[2 * node + 1]
        best = left if key[left] <= key[right] else right
        if winner[node] == best and best != leaf:
            break
        winner[node] = np.int32(best)
        node >>= 1
