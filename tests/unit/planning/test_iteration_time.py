"""Coefficients of an iteration from hardware figures alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ferry.artefacts import ModelFacts
from ferry.catalog import instance_types
from ferry.planning.iteration_time import iteration_time
from ferry.planning.roofline import Roofline, Tokens
from ferry.simulation.iteration_time import IterationTime

TOKENS = Tokens(input_mean=1000, input_p99=4000, output_mean=200, output_p99=600)


def time_of(model: ModelFacts, instance: str, width: int = 1, batch: float = 64) -> IterationTime:
    return iteration_time(Roofline(model, instance_types.find(instance), width, TOKENS), batch)


def test_weights_and_cache_are_read_at_what_is_reached_of_the_bandwidth(make: SimpleNamespace) -> None:
    time = time_of(make.llama_3_8b(), "g5.xlarge")
    assert time.fixed == pytest.approx(32 * 53e-6)
    assert time.weights == pytest.approx(16_060_522_496 / (600e9 * 0.83))
    assert time.per_cached_token == pytest.approx(131_072 / (600e9 * 0.83))
    assert time.per_token == pytest.approx(2 * 8.03e9 / (70e12 * 0.58))
    assert time.per_attention_pair == pytest.approx(4 * 32 * 32 * 128 / (70e12 * 0.58))
    assert time.per_sequence == pytest.approx(128_256 * 16 / (600e9 * 0.83))


def test_gpt_fast_s_measured_steps_come_out(make: SimpleNamespace) -> None:
    # Llama-2-7B, of which 13.32 GB are read, on one A100: 9.53 ms. Its table: 104.9 tokens/s at 1397.31 GB/s.
    time = time_of(make.llama_3_8b(weight_bytes=make.figure(13.32e9)), "p4de.24xlarge")
    assert time.fixed + time.weights == pytest.approx(1 / 104.9, rel=0.01)


def test_splitting_divides_the_work_and_adds_all_reduces(make: SimpleNamespace) -> None:
    one, eight = (time_of(make.llama_3_8b(), "p4de.24xlarge", width) for width in (1, 8))
    assert eight.weights == pytest.approx(one.weights / 8)
    assert eight.per_cached_token == pytest.approx(one.per_cached_token / 8)
    assert eight.fixed - one.fixed == pytest.approx(2 * 32 * 8e-6)
    moved = 2 * 32 * 4096 * 2 * 2 * 7 / 8 / (300e9 * 0.75)
    assert eight.per_token == pytest.approx(one.per_token / 8 + moved)


def test_all_reduces_over_pcie_take_longer(make: SimpleNamespace) -> None:
    pcie, one = (time_of(make.llama_3_8b(), "g5.48xlarge", width) for width in (8, 1))
    assert pcie.fixed - one.fixed == pytest.approx(2 * 32 * 70e-6)


def test_a_small_batch_reads_few_experts(make: SimpleNamespace) -> None:
    few, many = (time_of(make.deepseek_v3(), "p5en.48xlarge", 8, batch) for batch in (1, 256))
    assert few.weights < many.weights / 4
    assert few.per_token == many.per_token


@pytest.mark.parametrize("dtype", ["fp8"])
def test_fp8_computes_faster_on_hopper(make: SimpleNamespace, dtype: str) -> None:
    plain, quantised = (time_of(make.llama_3_8b(quantization=kind), "p5.4xlarge") for kind in (None, dtype))
    assert plain.per_token / quantised.per_token == pytest.approx(1979 / 989 * 0.8)
