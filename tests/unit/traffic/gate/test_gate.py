"""What the gate decides. Requests of both sides are a second's worth at a time, spread evenly over it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.traffic.gate import looks
from ferry.traffic.gate.decision import Decision
from ferry.traffic.gate.gate import Gate
from ferry.traffic.gate.policy import CanaryPolicy
from ferry.traffic.gate.statistics import spent
from ferry.traffic.requests import Request

START = 1000.0
BAD: dict[str, Any] = {"status": 500}


def policy(*steps: object, **fields: object) -> CanaryPolicy:
    return CanaryPolicy.model_validate({"schema": "ferry/canary/v1", "steps": steps, **fields})


QUICK = policy({"percent": 50, "minimum_requests": 100, "minimum_seconds": 10})


def requests(count: int, *, start_s: float = START, seconds: float = 1.0, **fields: Any) -> list[Request]:
    values = {"duration_ms": 10.0, "status": 200} | fields
    return [Request(start_s=start_s + at * seconds / max(1, count), **values) for at in range(count)]


def stream(first_ms: float, **fields: Any) -> dict[str, Any]:
    return {
        "streamed": True, "first_byte_ms": first_ms, "duration_ms": first_ms + 1000.0, "completion_tokens": 51,
    } | fields  # fmt: skip


def step(gate: Gate, baseline: Sequence[Request], candidate: Sequence[Request], at_s: float = START + 1) -> Decision:
    return gate.observe(baseline, candidate, at_s)


def gate_of(wanted: CanaryPolicy = QUICK, index: int = 0) -> Gate:
    return Gate(wanted, wanted.steps[index], started_s=START)


def test_with_too_little_traffic_it_holds_and_says_how_much_is_missing_and_how_long_that_takes() -> None:
    decision = step(gate_of(), requests(30, seconds=5), requests(20, seconds=5), START + 5)
    assert (decision.action, decision.reason) == (
        "hold", "20 of 100 requests of the candidate; 80 more take about 20 s at 4 a second",
    )  # fmt: skip


def test_without_any_traffic_it_never_advances() -> None:
    gate = gate_of()
    decision = step(gate, (), (), START + 86_400)
    assert decision.action == "hold"
    assert decision.reason == "no requests of the baseline in 86400 s, 90 are needed; at that rate it never ends"
    assert step(gate, requests(500), (), START + 86_401).reason.startswith("no requests of the candidate in 86401 s")


def test_without_a_baseline_it_never_advances() -> None:
    decision = step(gate_of(), (), requests(5000, seconds=100), START + 100)
    assert (decision.action, decision.reason[:28]) == ("hold", "no requests of the baseline ")


def test_it_holds_until_the_minimum_of_time_is_over() -> None:
    gate = gate_of()
    early = step(gate, requests(400, seconds=4), requests(400, seconds=4), START + 4)
    assert (early.action, early.reason) == ("hold", "4 of at least 10 s, another 6 s")
    late = step(gate, requests(9, start_s=START + 9.5), requests(9, start_s=START + 9.5), START + 11)
    assert (late.action, late.reason[:37]) == ("advance", "nothing is worse at 405 requests of t")


def test_a_step_with_a_minimum_of_requests_ends_with_them() -> None:
    gate = gate_of()
    assert step(gate, requests(99, seconds=20), requests(99, seconds=20), START + 20).action == "hold"
    assert step(gate, (), requests(1, start_s=START + 20)).action == "advance"


def test_more_errors_are_rolled_back_with_all_figures() -> None:
    gate = gate_of()
    decision = step(gate, requests(50), [*requests(5), *requests(45, start_s=START + 0.1, seconds=0.8, **BAD)])
    assert decision.action == "roll back"
    assert decision.reason.startswith("errors at ")
    assert " of the baseline (0.00%); p = " in decision.reason
    figures = decision.figures
    bad, of = figures["errors.candidate.count"], figures["errors.candidate.of"]
    assert isinstance(bad, int)
    assert isinstance(of, int)
    assert figures["errors.candidate.rate"] == bad / of
    assert figures["errors.baseline.count"] == 0
    assert figures["candidate.required"] == 100
    assert figures["errors.candidate.rate_low"] > figures["errors.baseline.rate_high"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("fields", "metric"),
    [
        (BAD, "errors"),
        ({"finished": False}, "truncated"),
        ({"status": None, "duration_ms": 30_000.0}, "hangs"),
        ({"status": None, "flags": "DC"}, "abandoned"),
        ({"status": 404}, "refused"),
        ({"aimed": "cloud-then-local", "cluster": "local"}, "errors"),
    ],
)
def test_each_way_to_fail_is_a_reason_of_its_own(fields: dict[str, Any], metric: str) -> None:
    decision = step(gate_of(), requests(50, seconds=35), requests(50, **fields), START + 40)
    assert (decision.action, decision.reason.split(" at ")[0]) == ("roll back", metric)


def test_a_decision_to_roll_back_stays_whatever_comes_later() -> None:
    gate = gate_of()
    first = step(gate, requests(50), requests(50, **BAD))
    assert first.action == "roll back"
    assert step(gate, requests(5000, **BAD), requests(5000)) is first


def test_a_release_that_is_better_or_as_bad_advances() -> None:
    bad, good = requests(300, seconds=15, **BAD), requests(300, seconds=15)
    assert step(gate_of(), bad, good).action == "advance"
    assert step(gate_of(), bad, bad).action == "advance"


def test_requests_from_before_the_step_are_left_out() -> None:
    decision = step(gate_of(), requests(50), [*requests(50, start_s=START - 2, **BAD), *requests(3)])
    assert (decision.action, decision.figures["left_out"], decision.figures["candidate.requests"]) == ("hold", 50, 3)


def test_the_baseline_s_requests_from_before_the_step_are_left_out_too() -> None:
    decision = step(gate_of(), requests(50, start_s=START - 2, **BAD), requests(3))
    assert (decision.figures["left_out"], decision.figures["baseline.requests"]) == (50, 0)


def test_each_look_refuses_from_its_own_part_of_alpha_on_and_later_rounds_have_less() -> None:
    def bad_from(number: int) -> tuple[list[Request], list[Request]]:
        theirs = requests(200, seconds=20.1)
        return theirs, [replace(one, status=500 if at >= number else 200) for at, one in enumerate(theirs)]

    alpha = 0.9 * 0.05 / 9
    gate = gate_of()
    at_first = step(gate, *bad_from(0))
    number = at_first.figures["look"]
    assert isinstance(number, int)
    levels = looks.levels(100)
    parts = spent(levels[number - 1], alpha) - spent(levels[number - 2], alpha)
    assert at_first.figures["refuses_from"] == pytest.approx(parts)
    later = step(gate_of(), *bad_from(101))
    assert (later.action, later.figures["round"]) == ("roll back", 1)
    number = later.figures["look"]
    assert isinstance(number, int)
    share = 0.1 / 2 / 0.9
    parts = spent(levels[number - 1], alpha) - (spent(levels[number - 2], alpha) if number > 1 else 0.0)
    assert later.figures["refuses_from"] == pytest.approx(share * parts)


def test_an_excess_below_what_is_tolerated_is_no_reason_however_certain() -> None:
    def decide(excess: float) -> str:
        wanted = policy(
            {"percent": 50, "minimum_requests": 20_000, "minimum_seconds": 1}, gate={"tolerated_error_excess": excess}
        )
        bad = requests(40, seconds=8, **BAD)
        return step(gate_of(wanted), requests(20_000, seconds=9), [*requests(19_990, seconds=9), *bad]).action

    assert decide(0.003) == "advance"
    assert decide(0.001) == "roll back"


SLOW = policy({"percent": 50, "minimum_requests": 400, "minimum_seconds": 1})


def streams(times: Iterable[float], **fields: Any) -> list[Request]:
    every = list(times)
    return [
        Request(start_s=START + at * 8 / len(every), status=200, **stream(time, **fields))
        for at, time in enumerate(every)
    ]


def test_a_doubled_p99_of_the_first_token_is_rolled_back_with_both_intervals() -> None:
    times = np.random.default_rng(3).lognormal(5, 0.5, 800)
    decision = step(gate_of(SLOW), streams(times[:400]), streams(2 * times[400:]), START + 10)
    assert decision.action == "roll back"
    assert decision.reason.startswith("ttft: P99 of the candidate ")
    assert decision.figures["ttft.unit"] == "ms"
    assert decision.figures["ttft.candidate.p99"] > decision.figures["ttft.baseline.p99"]  # type: ignore[operator]


def test_a_token_that_takes_twice_as_long_is_rolled_back() -> None:
    times = np.random.default_rng(3).lognormal(5, 0.5, 800)
    decision = step(gate_of(SLOW), streams(times[:400]), streams(times[400:], completion_tokens=26), START + 10)
    assert decision.action == "roll back"
    assert decision.reason.startswith("tpot: P99 of the candidate 40 ms a token against 20 of the baseline")


def test_a_longer_answer_is_not_a_slower_one() -> None:
    times = np.random.default_rng(3).lognormal(5, 0.5, 800)
    longer = [
        replace(one, duration_ms=(one.first_byte_ms or 0.0) + 10_000.0, completion_tokens=501)
        for one in streams(times[400:])
    ]
    assert step(gate_of(SLOW), streams(times[:400]), longer, START + 30).action == "advance"


def test_a_p99_that_is_higher_by_less_than_is_tolerated_is_no_reason() -> None:
    times = np.linspace(100, 120, 400)
    assert step(gate_of(SLOW), streams(times), streams(times + 24), START + 10).action == "advance"
    assert step(gate_of(SLOW), streams(times), streams(times + 40), START + 10).action == "roll back"


def test_where_tokens_are_unknown_on_one_side_both_are_compared_by_bytes_and_it_says_so() -> None:
    times = np.linspace(100, 120, 400)
    known = streams(times, answer_bytes=5000)
    copies = streams(times, answer_bytes=5000, completion_tokens=None)
    decision = step(gate_of(SLOW), known, copies, START + 10)
    assert decision.action == "advance"
    assert decision.figures["tpot.unit"] == "ms a byte, since tokens are not known on both sides"
    assert decision.figures["tpot.candidate.p99"] == pytest.approx(0.2)
    slower = streams(times, answer_bytes=2500, completion_tokens=None)
    assert step(gate_of(SLOW), known, slower, START + 10).reason.startswith("tpot: P99 of the candidate 0.4 ms a byte")


def test_what_a_side_does_not_have_is_said_not_to_be_compared() -> None:
    decision = step(gate_of(), requests(200, seconds=20), requests(200, seconds=20))
    assert decision.action == "advance"
    assert decision.reason.endswith("; not compared, since a side has none: ttft, tpot, token_time")
    assert decision.figures["ttft.candidate.p99"] is None


def test_latencies_are_waited_for_where_enough_requests_have_them() -> None:
    streamed = {"streamed": True, "first_byte_ms": 5.0}
    need = 33  # of the 100 that are asked for, as many as the computed sizes have to each other

    def sides(share: float) -> list[Request]:
        count = int(200 * share)
        return [*requests(200 - count, seconds=20), *requests(count, seconds=20, **streamed)]

    assert gate_of().required().candidate_latencies == need
    waiting = step(gate_of(), sides(0.1), sides(0.1), START + 20)
    assert (waiting.action, waiting.reason) == (
        "hold", "20 of 33 ttft of the candidate; 13 more take about 13 s at 1 a second",
    )  # fmt: skip
    assert step(gate_of(), sides(0.2), sides(0.2), START + 20).action == "advance"
    assert step(gate_of(), sides(0.04), sides(0.04), START + 20).action == "advance"


LIMITED = policy(
    {"percent": 50, "minimum_requests": 100, "minimum_seconds": 1}, slo={"error_rate": 0.1, "ttft_p99_ms": 300}
)


def test_beyond_a_limit_it_rolls_back_even_if_the_baseline_is_as_bad() -> None:
    half = [*requests(50, seconds=2), *requests(50, seconds=2, **BAD)]
    decision = step(gate_of(LIMITED), half, half)
    assert decision.action == "roll back"
    assert "requests of the candidate failed (" in decision.reason
    assert "and the limit is 10.00%" in decision.reason
    slow = streams([400.0] * 100)
    decision = step(gate_of(LIMITED), slow, slow, START + 10)
    assert decision.reason.startswith("ttft: P99 of the candidate 400 ms, and the limit is 300 ms; p = ")


def test_not_surely_beyond_a_limit_it_holds_and_measures_again_and_advances_once_within() -> None:
    def part(bad: int, start_s: float) -> list[Request]:
        good = requests(100 - bad, start_s=start_s, seconds=2)
        return [*requests(bad, start_s=start_s, seconds=1, **BAD), *good]

    gate = gate_of(LIMITED)
    first = step(gate, part(11, START), part(11, START), START + 2)
    assert first.action == "hold"
    assert first.reason.startswith("slo.error_rate was beyond its limit when the step was complete, though not surely")
    assert step(gate, part(9, START + 2), part(9, START + 2), START + 4).action == "advance"


def test_a_step_that_is_held_open_after_its_end_is_still_watched() -> None:
    gate = gate_of()
    assert step(gate, requests(100, seconds=10.1), requests(100, seconds=10.1)).action == "advance"
    assert step(gate, requests(10, start_s=START + 20), requests(10, start_s=START + 20)).action == "advance"
    later = step(gate, requests(90, start_s=START + 21), requests(90, start_s=START + 21, **BAD))
    assert (later.action, later.figures["round"]) == ("roll back", 1)


def test_at_100_percent_it_compares_with_what_was_recorded_and_says_so() -> None:
    last = {"percent": 100, "minimum_requests": 100, "minimum_seconds": 10}
    wanted = policy(50, last)
    recorded = requests(200, start_s=START - 60, seconds=30)
    gate = gate_of(wanted, 1)
    assert step(gate, recorded, requests(50, seconds=5), START + 5).action == "hold"
    decision = step(gate, (), requests(80, start_s=START + 5, seconds=8), START + 13)
    assert decision.action == "advance"
    assert decision.reason.endswith(
        "at 100 % none answers beside the candidate: it is compared with 200 requests "
        "recorded before, and with the limits"
    )
    assert step(gate_of(wanted, 1), recorded, requests(50, **BAD)).action == "roll back"
    short = step(gate_of(wanted, 1), recorded[:20], requests(500, seconds=50))
    assert short.action == "hold"
    assert short.reason.startswith("20 requests are recorded at the baseline, 90 are needed to compare with")


def ask(gate: Gate, baseline: Sequence[Request], at_s: float, theirs: int, ours: int) -> Decision:
    return gate.observe(baseline, (), at_s, open_baseline=theirs, open_candidate=ours)


def test_a_candidate_that_never_answers_is_seen_by_its_open_requests() -> None:
    gate = gate_of()
    assert ask(gate, (), START, 20, 0).action == "hold"
    assert ask(gate, requests(50), START + 1, 20, 2).action == "hold"
    decision = ask(gate, requests(50, start_s=START + 1), START + 2, 20, 50)
    assert decision.action == "roll back"
    assert decision.reason.startswith(
        "50 of 50 requests of the candidate have no end yet, against 20 of 120 of the base"
    )
    assert decision.figures["open.candidate"] == 50


def test_requests_that_were_open_before_the_step_are_not_held_against_the_candidate() -> None:
    gate = gate_of()
    ask(gate, (), START, 20, 500)
    assert ask(gate, requests(100), START + 2, 20, 500).action == "hold"
    # 400 of them end: 100 of those that are open now are from before, and 50 are not.
    old = requests(400, start_s=START - 10, duration_ms=12_000.0)
    decision = gate.observe((), old, START + 4, open_baseline=20, open_candidate=150)
    assert (decision.action, decision.figures["open.candidate"]) == ("roll back", 50)


def test_a_candidate_that_takes_somewhat_longer_has_more_open_requests_and_is_kept() -> None:
    gate = gate_of()
    gate.observe((), (), START, open_baseline=0, open_candidate=0)
    decision = gate.observe(
        requests(4000, seconds=9), requests(3800, seconds=9), START + 9, open_baseline=1000, open_candidate=1400
    )
    assert decision.figures["open.p_value"] < 1e-9  # type: ignore[operator]
    assert decision.action == "hold"


def test_where_the_counters_are_unknown_it_says_nothing_of_open_requests() -> None:
    decision = step(gate_of(), requests(5), requests(5))
    assert decision.figures["open.candidate"] is None


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Request], list[Request]]:
    kinds = ({}, BAD, {"finished": False}, stream(50.0), stream(500.0), {"completion_tokens": 5})

    def side() -> list[Request]:
        chosen = draw(st.lists(st.sampled_from(range(len(kinds))), min_size=20, max_size=150))
        values: dict[str, Any] = {"status": 200, "duration_ms": 100.0}
        return [
            Request(**values | kinds[kind] | {"start_s": START + at * 20 / len(chosen)})
            for at, kind in enumerate(chosen)
        ]

    return side(), side()


@settings(max_examples=25, deadline=None)
@given(histories(), st.lists(st.floats(START, START + 22), max_size=5))
def test_a_controller_that_starts_anew_gets_the_same_decision(
    history: tuple[list[Request], list[Request]], ticks: list[float]
) -> None:
    at_once = step(gate_of(), *history, at_s=START + 30)
    gate, last = gate_of(), START + 30
    for before, after in pairwise([0.0, *sorted(ticks), last]):
        parts = ([one for one in side if before <= one.end_s < after] for side in history)
        decision = gate.observe(*parts, after)
    assert (decision.action, decision.reason) == (at_once.action, at_once.reason)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.booleans(), min_size=100, max_size=150), st.lists(st.booleans(), min_size=90, max_size=150), st.data()
)
def test_more_errors_of_the_candidate_never_turn_a_rollback_into_an_advance(
    ours: list[bool], theirs: list[bool], data: st.DataObject
) -> None:
    def decide(candidate: list[bool]) -> str:
        sides = []
        for bad in (theirs, candidate):
            sides.append(
                [
                    Request(start_s=START + at * 20 / len(bad), duration_ms=1.0, status=500 if each else 200)
                    for at, each in enumerate(bad)
                ]
            )
        return step(gate_of(), *sides, at_s=START + 30).action

    worse = [bad or data.draw(st.booleans()) for bad in ours]
    order = ("advance", "hold", "roll back")
    assert order.index(decide(worse)) >= order.index(decide(ours))
