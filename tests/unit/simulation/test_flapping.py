"""Flapping: growing and shrinking within a quarter of an hour."""

from __future__ import annotations

import numpy as np
import pytest

from ferry.simulation.flapping import reversals


@pytest.mark.parametrize(
    ("desired", "expected"),
    [
        ([2] * 60, 0),
        ([2, 4, 4, 3], 1),
        ([2, 4, 3, 4, 3], 3),
        ([2, 4, 6, 8], 0),
        ([2, *[4] * 15, 3], 1),  # 15 minutes later
        ([2, *[4] * 16, 3], 0),
        ([4, *[3] * 5, 4], 1),
        ([2, *[4] * 10, 6, *[6] * 9, 5], 1),  # against the last change, not the first
        ([], 0),
        ([3], 0),
    ],
)
def test_a_change_against_the_last_one_within_15_minutes_is_flapping(desired: list[int], expected: int) -> None:
    assert reversals(np.array(desired, dtype=np.int64)) == expected


def test_the_time_can_be_chosen() -> None:
    assert reversals(np.array([2, 4, 4, 4, 3]), within_minutes=2) == 0
    assert reversals(np.array([2, 4, 4, 4, 3]), within_minutes=3) == 1
