"""What a sweep finds, and that what it does not replay could not have been it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferry.artefacts import Slo
from ferry.errors import InvalidField
from ferry.planning.sweep.front import front
from ferry.planning.sweep.replaying import Measured, Task, measure
from ferry.planning.sweep.search import REACH, By, Found, missed_by, objective, search
from ferry.planning.sweep.space import Engine, Point
from tests.sweeps import Searched, in_turn, requests

pytestmark = pytest.mark.xdist_group("simulation")
Run = Callable[..., Searched]


def miss(searched: Searched, measured: Measured) -> float:
    return missed_by(measured, len(searched.workload), searched.slo, searched.space.grid.max_refused_share)


def points(searched: Searched) -> list[Point]:
    engines = [one for one in searched.space.engines() if isinstance(one, Engine)]
    return [point for engine in engines for point in searched.space.points(engine) if isinstance(point, Point)]


def test_every_candidate_is_replayed_shared_or_ruled_out(searched: Searched) -> None:
    found = searched.found
    # 6 types x 2 quantisations x 2 regions x 2 shares of Spot x (2 policies of 2 ranges + 4 fixed sizes), each once: no
    # type here has a second batch limit.
    assert found.candidates == 6 * 2 * 2 * 2 * (2 * 2 + 4)
    assert {one.bound for one in found.ruled_out} == {"does not fit", "too few instances", "too dear"}
    assert all(one.reason for one in found.ruled_out)


def test_of_what_was_ruled_out_nothing_holds_or_is_better(searched: Searched) -> None:
    """Fifty of them, replayed: the proof that the bounds are bounds."""
    best = searched.found.best
    assert best is not None
    out = [(one.bound, point) for one in searched.found.ruled_out for point in one.points]
    chosen = out[:: max(1, len(out) // 50)][:50]
    assert len(chosen) == 50
    assert {bound for bound, _ in chosen} == {"too few instances", "too dear"}
    for bound, point in chosen:
        measured = measure(searched.workload, searched.space.task(point))
        if bound == "too dear":
            assert point.cost(measured) >= point.least_cost > Decimal(REACH["cost"]) * best.cost
        else:
            assert miss(searched, measured) > 1


@pytest.mark.parametrize(
    ("slo", "bound", "reason"),
    [
        (Slo(ttft_p99_ms=120), "first token too slow", "first tokens take 1235 ms"),
        (Slo(ttft_p99_ms=5000, tpot_p99_ms=25), "tokens too slow", "a token takes 34 ms"),
    ],
)
def test_an_engine_too_slow_when_idle_is_not_replayed(run: Run, slo: Slo, bound: str, reason: str) -> None:
    searched = run(slo, instance_types=["g5.xlarge"], quantizations=["as-is"], policies=["none"], sizes=[[8, 8]])
    (out,) = searched.found.ruled_out
    assert (out.bound, searched.found.answers) == (bound, [])
    assert out.reason.startswith(reason)
    for point in out.points:
        measured = measure(searched.workload, searched.space.task(point))
        assert miss(searched, measured) >= out.miss > 1


def test_an_engine_that_refuses_too_many_is_not_replayed(run: Run) -> None:
    long = requests()
    long.input_tokens[::50] = 9000
    one = {"instance_types": ["g6e.xlarge"], "quantizations": ["as-is"], "policies": ["none"], "sizes": [[4, 4]]}
    slo = Slo(ttft_p99_ms=60_000)
    (out,) = run(slo, workload=long, **one).found.ruled_out
    assert out.bound == "refuses too many"
    assert out.reason == "refuses 2.00% of the requests as too long, allowed are 1.00%"
    assert run(slo, workload=long, max_refused_share=0.02, **one).found.best is not None


def test_candidates_that_differ_in_price_only_share_a_replay(searched: Searched) -> None:
    found = searched.found
    replayed = [answer for answer in found.answers if not answer.is_shared]
    assert len(replayed) < len(found.answers) / 2
    assert len({searched.space.task(one.point) for one in replayed}) == len(replayed)
    fixed = [
        one
        for one in found.answers
        if (one.point.scaling.name, one.point.low, one.point.spot_percentage) == ("none", 6, 0)
        and one.point.engine.quantization == "as-is"
        and one.point.engine.instance.accelerator.name == "A10G"
    ]
    # g5.xlarge and g5.2xlarge, in two regions: one replay, and each its own price.
    assert len(fixed) == 4
    assert [one.is_shared for one in fixed] == [False, True, True, True]
    assert len({id(one.measured) for one in fixed}) == 1
    assert len({one.cost for one in fixed}) >= 2


def test_a_replay_is_asked_for_once_and_in_rounds_that_no_worker_changes(run: Run, searched: Searched) -> None:
    asked: list[list[Task]] = []

    def replay(tasks: Sequence[Task]) -> list[Measured]:
        asked.append(list(tasks))
        return [measure(searched.workload, task) for task in tasks]

    again = search(searched.space, searched.workload, searched.slo, "cost", lambda tasks: iter(replay(tasks)))
    flat = [task for tasks in asked for task in tasks]
    assert len(flat) == len(set(flat))
    assert len(asked[0]) == 64
    assert [figures(again, one) for one in again.answers] == [figures(again, one) for one in searched.found.answers]


def figures(found: Found, answer: object) -> str:
    return repr((answer.measured, answer.cost, answer.point.scaling.name, answer.point.place.name))  # type: ignore[attr-defined]


def test_progress_counts_every_candidate(searched: Searched) -> None:
    seen: list[tuple[int, int]] = []
    search(
        searched.space,
        searched.workload,
        searched.slo,
        "cost",
        in_turn(searched.workload),
        lambda done, of: seen.append((done, of)),
    )
    assert seen == sorted(seen)
    assert seen[-1] == (searched.found.candidates, searched.found.candidates)


def test_no_candidate_of_the_front_is_beaten_by_another(searched: Searched) -> None:
    shown = front(searched.found.answers)
    assert len(shown) > 1
    for answer in searched.found.answers:
        if answer.holds and answer.point.scaling.is_provisioned:
            assert not any(
                answer.cost < one.cost and answer.measured.ttft_p99_s <= one.measured.ttft_p99_s for one in shown
            )
    assert shown[0].cost == searched.found.best.cost  # type: ignore[union-attr]


def test_the_greenest_emits_least_of_all_that_hold(run: Run) -> None:
    searched = run(
        Slo(ttft_p99_ms=5000),
        by="carbon",
        places=("us-east-1", "eu-north-1"),
        instance_types=["g5.xlarge", "g6e.xlarge"],
        quantizations=["as-is"],
        policies=["none", "article"],
        sizes=[[2, 2], [4, 4], [2, 6], [8, 8]],
    )
    best = searched.found.best
    assert best is not None
    assert best.point.place.name == "eu-north-1"
    emitted = best.point.gco2e(best.measured)
    for point in [
        *(one.point for one in searched.found.answers),
        *(p for o in searched.found.ruled_out for p in o.points),
    ]:
        measured = measure(searched.workload, searched.space.task(point))
        assert point.gco2e(measured) >= point.least_gco2e
        if miss(searched, measured) <= 1:
            assert point.gco2e(measured) >= emitted * (1 - 1e-9)


def test_target_tracking_is_replayed_and_never_chosen(run: Run) -> None:
    searched = run(
        Slo(ttft_p99_ms=60_000),
        instance_types=["g6e.xlarge"],
        quantizations=["as-is"],
        policies=["target-tracking"],
        sizes=[[2, 4]],
    )
    assert all(answer.holds for answer in searched.found.answers)
    assert searched.found.best is None


def test_thresholds_in_the_wrong_order_are_refused(run: Run) -> None:
    steps = [{"scale_out_above": 0.3, "scale_in_below": 0.8}]
    with pytest.raises(InvalidField, match=r"scale_in_below|scale_out_above"):
        run(Slo(ttft_p99_ms=1500), instance_types=["g6e.xlarge"], policies=["steps"], steps=steps, sizes=[[1, 2]])


TYPES = ["g5.xlarge", "g5.2xlarge", "g6.xlarge", "g6e.xlarge", "g6e.2xlarge"]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    types=st.lists(st.sampled_from(TYPES), min_size=1, max_size=2, unique=True),
    quantizations=st.lists(st.sampled_from(["as-is", "awq"]), min_size=1, max_size=1),
    policies=st.lists(st.sampled_from(["plan", "target-tracking", "schedule", "none"]), min_size=1, unique=True),
    sizes=st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 3)).map(lambda pair: [pair[0], sum(pair)]), min_size=1, max_size=3
    ),
    spot=st.sampled_from([[0], [0, 50], [100]]),
    ttft_ms=st.sampled_from([300, 900, 2500, 20_000]),
    tpot_ms=st.sampled_from([None, 45, 90]),
    by=st.sampled_from(["cost", "carbon", "ttft", "latency"]),
)
def test_the_best_found_is_the_best_of_all(
    run: Run,
    types: list[str],
    quantizations: list[str],
    policies: list[str],
    sizes: list[list[int]],
    spot: list[int],
    ttft_ms: float,
    tpot_ms: float | None,
    by: By,
) -> None:
    searched = run(
        Slo(ttft_p99_ms=ttft_ms, tpot_p99_ms=tpot_ms),
        by,
        instance_types=types,
        quantizations=quantizations,
        policies=policies,
        targets=[0.6],
        sizes=sizes,
        spot_percentages=spot,
    )
    values = []
    for point in points(searched):
        measured = measure(searched.workload, searched.space.task(point))
        if point.scaling.is_provisioned and miss(searched, measured) <= 1:
            cost = point.cost(measured)
            times = {"ttft": measured.ttft_p99_s, "latency": measured.latency_p99_s}
            first = ({"cost": float(cost), "carbon": point.gco2e(measured)} | times)[by]
            values.append((first, cost))
    best = searched.found.best
    assert (best and (objective(best, by), best.cost)) == (min(values) if values else None)
