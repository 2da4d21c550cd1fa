"""How long a new instance needs until it serves, cold and from a warm pool."""

from __future__ import annotations

import pytest

from ferry.catalog import instance_types
from ferry.simulation.boot import seconds, timeout_seconds, warm_seconds

MIB = 1024 * 1024


def test_qwen3_8b_on_a_new_g6_2xlarge_is_within_a_ninth_of_what_aws_measured() -> None:
    """8.2 billion parameters in 16 bit; 525 s measured."""
    assert seconds(16.4e9, instance_types.find("g6.2xlarge")) == pytest.approx(525, rel=1 / 9)


def test_what_is_local_is_not_fetched() -> None:
    node = instance_types.find("g5.12xlarge")  # 40 Gbit/s: the volume is slower
    read = 10e9 / (500 * MIB)
    assert seconds(10e9, node) == pytest.approx(360 + 25e9 / (500 * MIB) + 2 * read)
    assert seconds(10e9, node, image_is_local=True) == pytest.approx(360 + 2 * read)
    assert warm_seconds(10e9, node) == pytest.approx(360 + read)


def test_the_timeout_is_half_as_long_again_in_whole_minutes() -> None:
    assert [timeout_seconds(expected) for expected in (100, 500, 1000, 9000)] == [600, 780, 1500, 7200]
