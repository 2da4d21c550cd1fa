"""The search: bounds first, then rounds of replays, cheapest bound first, until nothing better can be left.

A round has a fixed number of replays whatever the number of workers, so that what is known when a candidate is ruled
out, and so the result, does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from ferry.artefacts import Slo
from ferry.planning.sweep.bounds import ROUNDING, Bounds
from ferry.planning.sweep.grid import AS_IS
from ferry.planning.sweep.replaying import Measured, Task
from ferry.planning.sweep.space import Engine, Point, RuledOut, Space
from ferry.planning.sweep.workers import Replay
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.workload import Workload

By = Literal["cost", "carbon", "ttft", "latency"]
FIRST_ROUND, LARGEST_ROUND = 64, 512
REACH = {"cost": 2.0, "carbon": 1.0, "ttft": 1.0, "latency": 1.0}
"""Up to how many times the best found a candidate's bound may be: the front shows what up to twice the cost buys."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """A candidate whose times are known. `miss` is the largest factor by which a promise is missed."""

    point: Point
    measured: Measured
    cost: Decimal
    miss: float
    is_shared: bool
    """Replayed as another candidate that differs in price only."""

    @property
    def holds(self) -> bool:
        """Whether every promise is kept."""
        return self.miss <= 1


@dataclass(kw_only=True)
class Found:
    """What a search gives."""

    answers: list[Answer] = field(default_factory=list)
    ruled_out: list[RuledOut] = field(default_factory=list)
    best: Answer | None = None

    @property
    def candidates(self) -> int:
        """All that the grid has."""
        return len(self.answers) + sum(one.count for one in self.ruled_out)


@dataclass(frozen=True, eq=False)
class _Group:
    """Candidates with the same times. `least` is the lowest that the objective of one of them can be."""

    task: Task
    points: list[Point]
    least: float


def search(
    space: Space, workload: Workload, slo: Slo, by: By, replay: Replay, progress: Progress = lambda done, of: None
) -> Found:
    """Replay or rule out every candidate; `progress` has the number of candidates that are settled, and of all."""
    found = Found()
    groups = _groups(space, workload, slo, by, found)
    total = sum(one.count for one in found.ruled_out) + sum(len(group.points) for group in groups)
    settled = total - sum(len(group.points) for group in groups)
    progress(settled, total)
    size = FIRST_ROUND
    while groups:
        limit = _limit(found.best, by)
        if groups[0].least > limit:
            found.ruled_out += _beyond(groups, by)
            break
        turn = [group for group in groups[:size] if group.least <= limit]
        groups = groups[len(turn) :]
        for group, measured in zip(turn, replay([group.task for group in turn]), strict=True):
            miss = missed_by(measured, len(workload), slo, space.grid.max_refused_share)
            _settle(group, measured, miss, by, found)
            settled += len(group.points)
            progress(settled, total)
        size = min(2 * size, LARGEST_ROUND)
    progress(total, total)
    return found


def objective(answer: Answer, by: By) -> float:
    """What is to be small."""
    if by == "cost":
        return float(answer.cost)
    if by == "carbon":
        return answer.point.gco2e(answer.measured)
    return answer.measured.ttft_p99_s if by == "ttft" else answer.measured.latency_p99_s


def missed_by(measured: Measured, requests: int, slo: Slo, max_refused_share: float) -> float:
    """The largest ratio of what a replay gave to what was promised."""
    ratios = [0.0]
    if slo.ttft_p99_ms is not None:
        ratios.append(measured.ttft_p99_s * 1000 / slo.ttft_p99_ms)
    if slo.tpot_p99_ms is not None:
        ratios.append(measured.tpot_p99_s * 1000 / slo.tpot_p99_ms)
    if measured.refused:
        share = measured.refused / requests
        ratios.append(share / max_refused_share if max_refused_share else float("inf"))
    return max(ratios)


def _groups(space: Space, workload: Workload, slo: Slo, by: By, found: Found) -> list[_Group]:
    """Candidates that no bound of the promise rules out, lowest bound of the objective first."""
    bounds: dict[ReplicaSettings, Bounds] = {}
    together: dict[Task, list[Point]] = {}
    for engine in space.engines():
        if isinstance(engine, RuledOut):
            found.ruled_out.append(engine)
            continue
        known = bounds.setdefault(engine.replica, Bounds(workload, engine.replica))
        offered: list[Point] = []
        for point in space.points(engine):
            if isinstance(point, RuledOut):
                found.ruled_out.append(point)
            else:
                offered.append(point)
        left = list(_within(engine, offered, known, slo, space.grid.max_refused_share, found))
        for point in left:
            together.setdefault(space.task(point), []).append(point)
    groups = [_group(task, points, bounds[task.replica], by) for task, points in together.items()]
    return sorted(groups, key=lambda group: (group.least, group.points[0].least_cost))


def _group(task: Task, points: list[Point], known: Bounds, by: By) -> _Group:
    points = sorted(points, key=lambda point: point.least_cost)
    if by == "cost":
        return _Group(task, points, float(points[0].least_cost))
    if by == "carbon":
        return _Group(task, points, min(point.least_gco2e for point in points))
    return _Group(task, points, known.ttft_p99_s if by == "ttft" else known.latency_p99_s)


def _within(
    engine: Engine, points: Sequence[Point], known: Bounds, slo: Slo, max_refused_share: float, found: Found
) -> Iterator[Point]:
    """The candidates of an engine that may keep the promise; the others are ruled out."""
    if broken := _broken(known, slo, max_refused_share):
        bound, reason, miss = broken
        if points:
            found.ruled_out.append(_out(engine, bound, reason, points, miss))
        return
    least = 0
    if slo.ttft_p99_ms is not None and known.holds_for(engine.start_s):
        least = known.least_instances(slo.ttft_p99_ms / 1000)
    few = [point for point in points if point.high < least]
    if few:
        most = max(point.high for point in few)
        reason = (
            f"{least} instances at least keep up with the requests, these have up to {most}: their queue grows beyond "
            f"the {slo.ttft_p99_ms:g} ms promised"
        )
        found.ruled_out.append(_out(engine, "too few instances", reason, few, least / most))
    yield from (point for point in points if point.high >= least)


def _broken(known: Bounds, slo: Slo, max_refused_share: float) -> tuple[str, str, float] | None:
    """The promise that an engine breaks with any fleet."""
    if known.refused_share > max_refused_share:
        reason = f"refuses {known.refused_share:.2%} of the requests as too long, allowed are {max_refused_share:.2%}"
        return (
            "refuses too many",
            reason,
            known.refused_share / max_refused_share if max_refused_share else float("inf"),
        )
    first, pace = known.ttft_p99_s * 1000, known.tpot_p99_s * 1000
    if slo.ttft_p99_ms is not None and first > slo.ttft_p99_ms * ROUNDING:
        reason = f"first tokens take {first:.0f} ms (P99) on idle instances, promised are {slo.ttft_p99_ms:g}"
        return "first token too slow", reason, first / slo.ttft_p99_ms
    if slo.tpot_p99_ms is not None and pace > slo.tpot_p99_ms * ROUNDING:
        reason = f"a token takes {pace:.0f} ms on idle instances, promised are {slo.tpot_p99_ms:g}"
        return "tokens too slow", reason, pace / slo.tpot_p99_ms
    return None


def _limit(best: Answer | None, by: By) -> float:
    return float("inf") if best is None else objective(best, by) * REACH[by] * ROUNDING


def _settle(group: _Group, measured: Measured, miss: float, by: By, found: Found) -> None:
    for number, point in enumerate(group.points):
        answer = Answer(point=point, measured=measured, cost=point.cost(measured), miss=miss, is_shared=number > 0)
        found.answers.append(answer)
        if not (answer.holds and point.scaling.is_provisioned):
            continue
        if found.best is None or _order(answer, by) < _order(found.best, by):
            found.best = answer


def _order(answer: Answer, by: By) -> tuple[float, Decimal, bool, float]:
    """Of equals, the model as it is, which no copy has to be made for, then the faster."""
    copied = answer.point.engine.quantization != AS_IS
    return objective(answer, by), answer.cost, copied, answer.measured.ttft_p99_s


def _beyond(groups: Sequence[_Group], by: By) -> Iterator[RuledOut]:
    """What is left when nothing of it can be of use any more, a line for each engine."""
    by_engine: dict[Engine, list[Point]] = {}
    for group in groups:
        for point in group.points:
            by_engine.setdefault(point.engine, []).append(point)
    bound = {"cost": "too dear", "carbon": "emits too much"}.get(by, "too slow")
    for engine, points in by_engine.items():
        reason = f"even idle, not below the {by} of the best found"
        if by == "cost":
            least = min(point.least_cost for point in points)
            reason = (
                f"the smallest sizes cost {least:,.0f} {points[0].on_demand.currency} a month or more, above "
                f"{REACH[by]:g} times the best found"
            )
        yield _out(engine, bound, reason, points, 1.0)


def _out(engine: Engine, bound: str, reason: str, points: Sequence[Point], miss: float) -> RuledOut:
    return RuledOut(
        bound=bound,
        instance_type=engine.instance.name,
        quantization=engine.quantization,
        reason=reason,
        count=len(points),
        miss=miss,
        points=tuple(points),
    )
