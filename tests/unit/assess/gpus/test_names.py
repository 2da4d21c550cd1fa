from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.assess.gpus import same_model


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB", True),
        ("NVIDIA H100 80GB HBM3", "H100-SXM5-80GB", True),
        ("NVIDIA H200", "H200-SXM5-141GB", True),
        ("Tesla V100-SXM2-32GB", "V100-SXM2-32GB", True),
        ("AMD Instinct MI300X", "MI300X", True),
        ("Arcturus GL-XL [Instinct MI100]", "MI100", True),
        ("Radeon Instinct MI50 32GB", "MI50", True),
        ("NVIDIA GeForce RTX 4080 ...", "RTX 4080 SUPER", True),
        ("NVIDIA A100-SXM...", "A100-SXM4-80GB", True),
        ("NVIDIA A100-SXM...", "H100-SXM5-80GB", False),
        ("NVIDIA GeForce RTX 4080 SUPER", "RTX 4080", False),
        ("NVIDIA H100 80GB HBM3", "A100-SXM4-80GB", False),
        ("A100-SXM4-40GB", "A100-SXM4-80GB", False),
        ("NVIDIA A10", "A10G", False),
    ],
)
def test_names_of_the_same_accelerator_match(one: str, other: str, same: bool) -> None:
    assert same_model(one, other) is same


@settings(deadline=None)
@given(one=st.text(max_size=20), other=st.text(max_size=20))
def test_any_two_names_can_be_compared(one: str, other: str) -> None:
    assert same_model(one, one)
    assert same_model(one, other) == same_model(other, one)
