"""The engine against sequences worked out by hand. Where nothing else is said, an iteration takes a second."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ferry.errors import InvalidField
from ferry.simulation.autoscaler import compile_spec
from ferry.simulation.engine import simulate
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.result import Result
from ferry.simulation.scaling_spec import ScalingSpec
from ferry.simulation.workload import Workload

ONE = FleetSettings(initial_instances=1)
SECOND = IterationTime(fixed=1.0)


def workload(*requests: tuple[float, int, int], cached: list[int] | None = None) -> Workload:
    """Requests as (arrival, input tokens, output tokens)."""
    arrival, inputs, outputs = zip(*requests, strict=True)
    return Workload(
        arrival_s=np.array(arrival, dtype=float),
        input_tokens=np.array(inputs),
        output_tokens=np.array(outputs),
        cached_tokens=None if cached is None else np.array(cached),
    )


def replica(**changes: Any) -> ReplicaSettings:
    values: dict[str, Any] = {
        "iteration_time": SECOND,
        "max_sequences": 4,
        "max_batched_tokens": 100,
        "kv_blocks": 1000,
        "lookahead_iterations": 0,
    }
    return ReplicaSettings(**values | changes)


def tokens(result: Result) -> list[tuple[float, float]]:
    """Times of first and last token."""
    return list(zip(result.first_token_s.tolist(), result.last_token_s.tolist(), strict=True))


def test_a_request_alone_has_a_token_an_iteration() -> None:
    result = simulate(workload((10.0, 5, 3)), replica(), ONE)
    assert tokens(result) == [(11.0, 13.0)]
    assert (result.ttft_s[0], result.tpot_s[0], result.latency_s[0]) == (1.0, 1.0, 3.0)
    assert (result.iterations, result.end_s, result.instance[0]) == (3, 13.0, 0)


def test_an_iteration_takes_what_is_in_its_batch() -> None:
    time = IterationTime(
        fixed=1.0, weights=2.0, per_token=0.5, per_sequence=0.25, per_cached_token=0.125, per_attention_pair=0.0625
    )
    result = simulate(workload((0.0, 8, 3)), replica(iteration_time=time), ONE)
    prompt = 1.0 + max(2.0, 0.5 * 8) + 0.25 + 0.0625 * 8 * 4.5
    first_decode = 1.0 + 2.0 + 0.25 + 0.125 * 9
    assert tokens(result) == [(prompt, prompt + 2 * first_decode + 0.125)]


def test_a_prompt_longer_than_the_token_budget_comes_in_chunks_beside_the_decoding() -> None:
    # 0: 5 of the first. 1: its decode, and 9 of the 25 tokens; 2: its last decode and 9; 3: the last 7.
    result = simulate(workload((0.0, 5, 3), (0.5, 25, 1)), replica(max_batched_tokens=10), ONE)
    assert tokens(result) == [(1.0, 3.0), (4.0, 4.0)]


def test_tokens_in_the_prefix_cache_are_not_computed() -> None:
    time = IterationTime(fixed=1.0, per_token=0.5)
    result = simulate(workload((0.0, 10, 1), cached=[6]), replica(iteration_time=time), ONE)
    assert tokens(result) == [(3.0, 3.0)]


def test_a_full_batch_lets_the_next_one_in_when_one_is_finished() -> None:
    result = simulate(workload((0.0, 1, 2), (0.0, 1, 4), (0.0, 1, 1)), replica(max_sequences=2), ONE)
    assert tokens(result) == [(1.0, 2.0), (1.0, 4.0), (3.0, 3.0)]


def test_with_lookahead_an_arrival_waits_for_the_iteration_after_the_next() -> None:
    requests = workload((0.0, 1, 6), (1.5, 1, 1))
    assert tokens(simulate(requests, replica(), ONE))[1] == (3.0, 3.0)
    assert tokens(simulate(requests, replica(lookahead_iterations=1), ONE))[1] == (4.0, 4.0)


def test_with_lookahead_a_finished_request_holds_its_place_for_an_iteration() -> None:
    requests = workload((0.0, 1, 2), (0.0, 1, 4), (0.0, 1, 1))
    result = simulate(requests, replica(max_sequences=2, lookahead_iterations=1), ONE)
    assert tokens(result) == [(1.0, 2.0), (1.0, 4.0), (4.0, 4.0)]


def test_with_lookahead_an_empty_engine_starts_at_once() -> None:
    requests = workload((0.0, 1, 2), (0.0, 1, 1), (1.5, 1, 1))
    result = simulate(requests, replica(max_sequences=2, lookahead_iterations=1), ONE)
    assert tokens(result) == [(1.0, 2.0), (1.0, 1.0), (3.0, 3.0)]


def test_when_blocks_run_out_the_one_admitted_last_begins_its_prompt_again() -> None:
    # Three blocks of 4. Prompts of 4 take one each; at 1 s both need a second one: the later one goes, and comes back
    # at 6 s, when the first has finished with 9 tokens, to compute 4 + 1 and the rest.
    result = simulate(workload((0.0, 4, 6), (0.0, 4, 3)), replica(kv_blocks=3, block_tokens=4), ONE)
    assert tokens(result) == [(1.0, 6.0), (1.0, 8.0)]
    assert result.preemptions == 1


def test_after_a_preemption_nothing_of_the_prompt_is_in_the_prefix_cache() -> None:
    # The second, of 4 tokens with 3 of them cached, is preempted at 2 s and as a partial prompt at 4 s. From 6 s on it
    # is alone, and needs two iterations of 4 for the 5 tokens that it has by then.
    settings = replica(kv_blocks=3, block_tokens=4, max_batched_tokens=4)
    result = simulate(workload((0.0, 4, 6), (0.0, 4, 3), cached=[0, 3]), settings, ONE)
    assert tokens(result) == [(1.0, 6.0), (2.0, 9.0)]
    assert result.preemptions == 2


def test_one_that_does_not_fit_holds_up_those_behind_it() -> None:
    # Of three blocks, one is taken; 9 tokens need three, and the last request's single token waits behind it.
    result = simulate(workload((0.0, 3, 2), (0.0, 9, 1), (0.0, 1, 1)), replica(kv_blocks=3, block_tokens=4), ONE)
    assert tokens(result) == [(1.0, 2.0), (3.0, 3.0), (4.0, 4.0)]


def test_what_can_never_fit_is_refused_and_counted() -> None:
    requests = workload((0.0, 12, 1), (0.0, 11, 1), (0.0, 9, 1))
    result = simulate(requests, replica(kv_blocks=3, block_tokens=4, max_model_len=11), ONE)
    assert result.refused.tolist() == [True, True, False]
    assert np.isnan(result.ttft_s[:2]).all()
    assert tokens(result)[2] == (1.0, 1.0)
    nothing = simulate(workload((7.0, 12, 1)), replica(kv_blocks=3, block_tokens=4), ONE)
    assert (nothing.refused.tolist(), nothing.end_s, nothing.iterations) == ([True], 0.0, 0)
    assert np.isnan(nothing.utilisation)


def test_a_request_goes_where_the_fewest_are() -> None:
    requests = workload((0.0, 1, 9), (0.1, 1, 1), (0.2, 1, 1), (2.5, 1, 1))
    result = simulate(requests, replica(), FleetSettings(initial_instances=2))
    assert result.instance.tolist() == [0, 1, 0, 1]


def test_in_turn_is_in_turn_whatever_waits() -> None:
    requests = workload(*((0.1 * number, 1, 9 if number == 1 else 1) for number in range(5)))
    result = simulate(requests, replica(), FleetSettings(initial_instances=3, routing="round_robin"))
    assert result.instance.tolist() == [0, 1, 2, 0, 1]


def test_a_spot_instance_is_drained_after_its_notice_and_what_is_left_begins_anew() -> None:
    fleet = FleetSettings(initial_instances=1, spot_share=1.0, start_s=30.0, spot_interruptions_s=np.array([10.0]))
    result = simulate(workload((0.0, 1, 50), (5.0, 1, 200), (20.0, 1, 1)), replica(), fleet)
    # The third waits at the gateway for the replacement at 40 s; the second is cut off at 130 s, after 124 tokens.
    assert tokens(result) == [(1.0, 50.0), (131.0, 330.0), (41.0, 41.0)]
    assert (result.instance.tolist(), result.retries.tolist()) == ([0, 1, 1], [0, 1, 0])
    assert result.instances.launched_s.tolist() == [0.0, 10.0]
    assert result.instances.ended_s.tolist() == [130.0, 330.0]
    assert result.instance_seconds(spot=True) == 130.0 + 320.0
    assert result.instances.busy_s.tolist() == [130.0, 201.0]


def test_minutes_show_the_fleet_as_it_is_at_their_end() -> None:
    time = IterationTime(fixed=1.0)
    result = simulate(
        workload((30.0, 1, 100), (110.0, 8, 50)), replica(iteration_time=time, kv_blocks=100, block_tokens=4), ONE
    )
    periods = result.periods
    assert periods.end_s.tolist() == [60.0, 120.0]
    assert periods.running.tolist() == [1, 2]
    assert periods.load.tolist() == [0.25, 0.5]
    assert periods.utilisation.tolist() == [0.5, 1.0]
    # At 60 s, 30 tokens are computed and the next one's iteration has not begun: 8 blocks. At 120 s: 90 and 17 tokens.
    assert periods.kv_use.tolist() == [0.08, 0.28]


def test_the_same_input_gives_the_same_result_and_the_input_stays_as_it_was() -> None:
    random = np.random.default_rng(1)
    inputs = random.integers(1, 200, 500)
    requests = Workload(
        arrival_s=np.sort(random.uniform(0, 200, 500)),
        input_tokens=inputs,
        output_tokens=random.integers(1, 60, 500),
        cached_tokens=inputs // 2,
    )
    before = requests.cached_tokens.copy() if requests.cached_tokens is not None else None
    settings = replica(iteration_time=IterationTime(fixed=0.05), kv_blocks=20, max_sequences=32)
    fleet = FleetSettings(initial_instances=2, spot_share=1.0, spot_interruptions_s=np.array([20.0, 90.0]))
    first, second = simulate(requests, settings, fleet), simulate(requests, settings, fleet)
    assert tokens(first) == tokens(second)
    assert first.preemptions == second.preemptions > 0
    assert np.array_equal(requests.cached_tokens, before)


def test_every_request_is_finished_once_and_times_in_the_system_are_its_content() -> None:
    random = np.random.default_rng(2)
    requests = Workload(
        arrival_s=np.sort(random.uniform(0, 100, 400)),
        input_tokens=random.integers(1, 300, 400),
        output_tokens=random.integers(1, 50, 400),
    )
    result = simulate(requests, replica(iteration_time=IterationTime(fixed=0.02), kv_blocks=60), ONE)
    assert result.preemptions > 0
    assert (result.instance == 0).all()
    assert (result.first_token_s > requests.arrival_s).all()
    assert (result.last_token_s >= result.first_token_s).all()
    times = np.concatenate([requests.arrival_s, result.last_token_s])
    changes = np.repeat([1, -1], 400)
    order = np.argsort(times, kind="stable")
    content = np.cumsum(changes[order])[:-1] @ np.diff(times[order])
    assert content == pytest.approx(result.latency_s.sum(), rel=1e-12)


def test_more_instances_than_were_thought_of_at_first_have_room() -> None:
    requests = workload(*((float(second), 1, 400) for second in range(300)))
    fleet = FleetSettings(
        initial_instances=1, spot_share=1.0, spot_interruptions_s=np.arange(1.0, 200.0, 10.0), start_s=5.0
    )
    result = simulate(requests, replica(max_sequences=64), fleet)
    assert len(result.instances.launched_s) == 21
    assert (result.instance >= 0).all()


def test_an_engine_that_is_never_idle_counts_beyond_2_31_iterations() -> None:
    # Two at a time, the first half as long, so that one always runs: 10 million iterations, 10 s, each.
    requests = workload((0.0, 1, 5_000_000), *((0.0, 1, 10_000_000),) * 499)
    settings = replica(iteration_time=IterationTime(fixed=1e-6), max_sequences=2, kv_blocks=2_000_000)
    result = simulate(requests, settings, ONE)
    assert result.iterations == 2_500_000_000
    assert result.end_s == pytest.approx(2500.0)
    assert result.last_token_s[:5].tolist() == pytest.approx([5.0, 10.0, 15.0, 20.0, 25.0])


def test_a_fleet_without_an_instance_and_without_a_policy_is_refused() -> None:
    with pytest.raises(InvalidField, match="initial_instances is 0 and there is no scaling policy"):
        simulate(workload((0.0, 1, 1)), replica(), replace(ONE, initial_instances=0))


def test_requests_that_no_instance_will_ever_serve_are_an_error() -> None:
    never = compile_spec(ScalingSpec(min_size=0, max_size=1, initial=0))
    with pytest.raises(InvalidField, match="2 requests wait at the gateway, no instance is left"):
        simulate(workload((0.0, 1, 1), (90.0, 1, 1)), replica(), replace(ONE, initial_instances=0), never)
