"""What the gate gets wrong and what it finds, beside others' rules, on simulated canaries with a fixed seed.

    .venv/bin/python bench/gate.py [--canaries 1000] [--seed 7] [--json]

Every canary is judged by `Gate` itself, at 500 requests a second, a third of them streamed, with 1 % errors on both
sides and log-normal latencies; a bad release differs in what its row says, from the first request of the step on. A
hang shows 30 s after it began, which its seconds do not count. Peers, their rules written down here:

* a fixed threshold, as in Flagger's documentation (fluxcd.io/flagger/usage/metrics: success rate >= 99 %, P99 <= 500
  ms, a check a minute), five checks a step, rolled back at the second that fails: after two minutes at the earliest.
  Argo Rollouts' analysis (interval, count, failureLimit) is the same rule. The limit is held against the time to the
  first token, whose true P99 here is 400 ms.
* Kayenta's NetflixACAJudge (spinnaker/kayenta, MannWhitneyClassifier): Mann-Whitney on a point a minute, 50 points as
  Spinnaker's documentation asks, confidence 98 %; high where the interval's lower end is above a quarter of the
  Hodges-Lehmann estimate. Here one metric that is high is enough to roll back: after the 50 minutes of a step. There is
  nothing to judge at 100 %.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import optimize, stats

from ferry.traffic.gate import looks, statistics
from ferry.traffic.gate.decision import Decision
from ferry.traffic.gate.gate import Gate
from ferry.traffic.gate.measures import FAILURES, MEASURES, NOTHING, Known, Measured
from ferry.traffic.gate.policy import CanaryPolicy, Step

Array = NDArray[Any]

RATE = 500.0
STREAMED = 1 / 3
TTFT_MEDIAN_MS, TTFT_SIGMA = 125.0, 0.5
TPOT_MEDIAN_MS, TPOT_SIGMA = 20.0, 0.25
POLICY = CanaryPolicy(schema="ferry/canary/v1")
CHECKS, FAILED_CHECKS, CHECK_SECONDS = 5, 2, 60
POINTS, POINT_SECONDS = 50, 60
SLOW_SHARE = 0.03
LONGEST = 1.2
"""Times the forecast of a step that is simulated; a step that still holds then is counted as such."""
SIMULATED_AT_ONE_PERCENT = 200
"""Of each bad release: such a step has 350,000 requests."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """One side."""

    errors: float = 0.01
    truncated: float = 0.0
    hangs: float = 0.0
    scale: float = 1.0
    """Of all latencies."""
    slow_share: float = 0.0
    slow_scale: float = 1.0


def slow_scale() -> float:
    """By how much SLOW_SHARE of the answers have to be slower for the P99 of the time to first token to double."""
    p99 = stats.norm.ppf(0.99) * TTFT_SIGMA

    def excess(scale: float) -> float:
        above = [stats.norm.sf((p99 + math.log(2 / factor)) / TTFT_SIGMA) for factor in (1.0, scale)]
        return float((1 - SLOW_SHARE) * above[0] + SLOW_SHARE * above[1] - 0.01)

    return float(optimize.brentq(excess, 1.0, 100.0))


SAME = Quality()
CLEAN = Quality(errors=0.0)
RELEASES: dict[str, tuple[Quality, Quality]] = {
    "errors 2 % against 1 %": (SAME, Quality(errors=0.02)),
    "P99 x 2, all answers": (SAME, Quality(scale=2.0)),
    "P99 x 2, 3 % of answers": (SAME, Quality(slow_share=SLOW_SHARE, slow_scale=slow_scale())),
    "5xx 2 % against 0": (CLEAN, Quality(errors=0.02)),
    "truncated 2 % against 0": (CLEAN, Quality(errors=0.0, truncated=0.02)),
    "hangs 2 % against 0": (CLEAN, Quality(errors=0.0, hangs=0.02)),
}
AT_MORE_STEPS = ("errors 2 % against 1 %", "P99 x 2, 3 % of answers")
CATASTROPHES = {
    "50 % errors": Quality(errors=0.5),
    "every stream cut": Quality(truncated=1.0),
    "nothing answers": Quality(),
}


def main() -> None:
    """Measure and print tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--canaries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    began = time.perf_counter()
    found = measure(options.canaries, options.seed) | {"seconds": 0.0}
    found["seconds"] = time.perf_counter() - began
    print(json.dumps(found, indent=2) if options.json else text(found))


def steps_of(release: str) -> tuple[Step, ...]:
    """Where a bad release is tried."""
    by_name = {step.name: step for step in POLICY.steps}
    return tuple(
        by_name[name] for name in (("1 %", "25 %", "50 %", "100 %") if release in AT_MORE_STEPS else ("25 %",))
    )


def measure(canaries: int, seed: int) -> dict[str, Any]:
    """Everything, on two processes."""
    run = Parallel(n_jobs=2)
    equal = run(delayed(cutover)(each) for each in np.random.SeedSequence(seed).spawn(canaries))
    bad: list[dict[str, Any]] = []
    for name, (baseline, candidate) in RELEASES.items():
        for step in steps_of(name):
            count = min(canaries, SIMULATED_AT_ONE_PERCENT) if step.percent == 1 else canaries
            seeds = np.random.SeedSequence([seed, len(bad)]).spawn(count)
            rows = run(delayed(canary)(step, baseline, candidate, each) for each in seeds)
            bad.append({"release": name, "step": step.name, **detected(step, rows)})
    random = np.random.default_rng([seed, 1])
    return {
        "canaries": canaries,
        "seed": seed,
        "steps": [
            {"step": step.name, "candidate": need.candidate, "seconds": need.seconds(RATE)}
            for step in POLICY.steps
            for need in [looks.required(POLICY, step)]
        ],
        "equal": false_rollbacks(equal),
        "bad": bad,
        "catastrophes": [catastrophe(name, step) for name in CATASTROPHES for step in POLICY.steps[1:5]],
        "peers": [
            {
                "release": name,
                "threshold": threshold_rule(*sides, canaries, random),
                "kayenta": kayenta(*sides, canaries, random),
            }
            for name, sides in {"equal": (SAME, SAME), "equal, no errors": (CLEAN, CLEAN), **RELEASES}.items()
        ],
        "methods": [row for ratio in (1.0, 19.0) for row in methods(ratio, canaries, random)],
    }


# ---- the gate ----


def simulated(quality: Quality, count: int, ends_s: Array, random: np.random.Generator) -> Measured:
    """Requests of one side, as the gate measures them."""
    measures = {name: Known(np.empty(0, dtype=np.int64), np.empty(0)) for name in MEASURES}
    draw, streamed = random.random(count), random.random(count) < STREAMED
    edges = np.cumsum([quality.errors, quality.truncated, quality.hangs])
    for name, low, high in zip(FAILURES, [0.0, *edges[:-1]], edges, strict=False):
        at = np.flatnonzero((draw >= low) & (draw < high))
        measures[name] = Known(at, np.ones(len(at)))
    answered = draw >= edges[-1]
    for name, wanted, median, sigma in (
        ("ttft", answered & streamed, TTFT_MEDIAN_MS, TTFT_SIGMA),
        ("tpot", answered & streamed, TPOT_MEDIAN_MS, TPOT_SIGMA),
        ("token_time", answered & ~streamed, TPOT_MEDIAN_MS, TPOT_SIGMA),
    ):
        at = np.flatnonzero(wanted)
        times = median * quality.scale * np.exp(sigma * random.standard_normal(len(at)))
        if quality.slow_share:
            times[random.random(len(at)) < quality.slow_share] *= quality.slow_scale
        measures[name] = Known(at, times)
    return Measured(ends_s, measures)


def traffic(
    step: Step, baseline: Quality, candidate: Quality, random: np.random.Generator
) -> tuple[Measured, Measured]:
    """Requests of both sides for as long as a step may take."""
    seconds = LONGEST * looks.required(POLICY, step).seconds(RATE)
    ends = np.arange(int(seconds * RATE)) / RATE
    if step.shadow:
        return tuple(simulated(side, len(ends), ends, random) for side in (baseline, candidate))  # type: ignore[return-value]
    ours = random.random(len(ends)) < step.percent / 100
    theirs = ~ours
    if step.is_alone:  # what was recorded at 50 %, for as long as that lasted
        theirs = np.arange(len(ends)) < looks.required(POLICY, step).candidate
    return (
        simulated(baseline, int(theirs.sum()), ends[theirs], random),
        simulated(candidate, int(ours.sum()), ends[ours], random),
    )


def canary(step: Step, baseline: Quality, candidate: Quality, seed: np.random.SeedSequence) -> tuple[str, int]:
    """What becomes of one step, and at how many requests of the candidate."""
    decision = Gate(POLICY, step).take(*traffic(step, baseline, candidate, np.random.default_rng(seed)))
    return ("hold", 0) if decision is None else (decision.action, int(decision.figures["candidate.requests"] or 0))


def cutover(seed: np.random.SeedSequence) -> str | None:
    """At which step a candidate that is as good as the baseline is rolled back or held, if it is."""
    for step, each in zip(POLICY.steps, seed.spawn(len(POLICY.steps)), strict=True):
        action, _ = canary(step, SAME, SAME, each)
        if action != "advance":
            return f"{action} at {step.name}"
    return None


def false_rollbacks(ends: list[str | None]) -> dict[str, Any]:
    """How many, and where."""
    refused = [end for end in ends if end is not None]
    low, high = statistics.rate_interval(len(refused), len(ends), 0.95)
    return {"rate": len(refused) / len(ends), "low": low, "high": high, "where": sorted(refused)}


def detected(step: Step, rows: list[tuple[str, int]]) -> dict[str, Any]:
    """Power, and how long it took."""
    counts = [count for action, count in rows if action == "roll back"]
    middle, late = (float(np.quantile(counts, share)) if counts else math.nan for share in (0.5, 0.95))
    per_second = RATE * step.percent / 100
    return {
        "canaries": len(rows),
        "power": len(counts) / len(rows),
        "low": statistics.rate_interval(len(counts), len(rows), 0.95)[0],
        "requests": middle,
        "seconds": middle / per_second,
        "seconds_p95": late / per_second,
    }


def catastrophe(name: str, step: Step) -> dict[str, Any]:
    """Seconds until a release that fails at once is rolled back, the gate asked every second; the worst of 20."""
    times = []
    for seed in range(20):
        random = np.random.default_rng([seed, step.percent])
        gate, share = Gate(POLICY, step), step.percent / 100
        decision: Decision | None = None
        began = 0
        for second in range(1, 120):
            ours = int(random.binomial(int(RATE), share))
            ends = second - 1 + np.sort(random.random(int(RATE)))
            baseline = simulated(SAME, int(RATE) - ours, ends[ours:], random)
            if name == "nothing answers":
                began += ours
                gate.look_at_open(len(baseline) // 2, 0, 0.0) if second == 1 else None
                decision = gate.take(baseline, NOTHING)
                decision = gate.look_at_open(len(baseline) // 2, began, float(second)) or decision
            else:
                decision = gate.take(baseline, simulated(CATASTROPHES[name], ours, ends[:ours], random))
            if decision is not None:
                break
        if decision is None or decision.action != "roll back":
            raise SystemExit(f"{name} at {step.name}: not rolled back within two minutes")
        times.append(second)
    return {"release": name, "step": step.name, "seconds": float(np.median(times)), "worst": max(times)}


# ---- peers ----


def p99_of(quality: Quality, count: Array, random: np.random.Generator) -> Array:
    """Nearest-rank P99 of so many times to the first token: the distribution's quantile at a beta variate."""
    count = np.maximum(1, count)
    rank = np.maximum(1, np.ceil(0.99 * count))
    share = random.beta(rank, count - rank + 1)
    if not quality.slow_share:
        times: Array = TTFT_MEDIAN_MS * quality.scale * np.exp(TTFT_SIGMA * stats.norm.ppf(share))
        return times
    grid = np.linspace(-6, 12, 20000)
    below = (1 - quality.slow_share) * stats.norm.cdf(grid) + quality.slow_share * stats.norm.cdf(
        grid - math.log(quality.slow_scale) / TTFT_SIGMA
    )
    return TTFT_MEDIAN_MS * np.exp(TTFT_SIGMA * np.interp(share, below, grid))


def threshold_rule(_: Quality, candidate: Quality, canaries: int, random: np.random.Generator) -> float:
    """Share of cutovers that Flagger's rule rolls back. It looks at the candidate only, and at what has an answer."""
    rolled_back = np.zeros(canaries, dtype=bool)
    for step in POLICY.steps:
        if step.shadow:
            continue
        count = random.binomial(int(RATE * CHECK_SECONDS), step.percent / 100, (canaries, CHECKS))
        success = 1 - random.binomial(count, candidate.errors) / np.maximum(1, count)
        slow = p99_of(candidate, random.binomial(count, STREAMED), random) > 500
        rolled_back |= ((success < 0.99) | slow).sum(axis=1) >= FAILED_CHECKS
    return float(rolled_back.mean())


def kayenta(baseline: Quality, candidate: Quality, canaries: int, random: np.random.Generator) -> float:
    """Share of cutovers in which Kayenta's judge finds errors or the P99 of the time to first token high."""
    rolled_back = np.zeros(canaries, dtype=bool)
    for step in POLICY.steps:
        if step.shadow or step.is_alone:
            continue
        points = []
        for side, share in ((baseline, 1 - step.percent / 100), (candidate, step.percent / 100)):
            count = random.binomial(int(RATE * POINT_SECONDS), share, (canaries, POINTS))
            errors = random.binomial(count, side.errors) / np.maximum(1, count)
            points.append((errors, p99_of(side, random.binomial(count, STREAMED), random)))
        for theirs, ours in zip(*points, strict=True):
            rolled_back |= mann_whitney_high(theirs, ours)
    return float(rolled_back.mean())


def mann_whitney_high(control: Array, experiment: Array) -> Array:
    """R's wilcox.test interval of the shift (order statistics of all differences), against Kayenta's tolerance."""
    size = control.shape[1]
    deviation = math.sqrt(size * size * (2 * size + 1) / 12)
    low = max(0, math.floor(size * size / 2 - stats.norm.ppf(0.99) * deviation))
    high = np.zeros(len(control), dtype=bool)
    for at, (theirs, ours) in enumerate(zip(control, experiment, strict=True)):
        shifts = np.partition((ours[:, None] - theirs[None, :]).ravel(), [low, size * size // 2])
        high[at] = shifts[low] > 0.25 * abs(shifts[size * size // 2])
    return high


# ---- sequential methods at the same error ----


def methods(ratio: float, canaries: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """How many requests each method plans, and needs on average, to find 2 % errors against 1 %."""
    alpha, power = looks.alpha_of_round(POLICY, 0), POLICY.gate.power
    spending: dict[str, Callable[[Array], Array] | None] = {
        "one look at the end": None,
        "Hwang-Shih-DeCani -4 (the gate)": lambda t: alpha * np.expm1(4 * t) / math.expm1(4),
        "Lan-DeMets O'Brien-Fleming": lambda t: 2 * stats.norm.sf(stats.norm.isf(alpha / 2) / np.sqrt(t)),
        "Lan-DeMets Pocock": lambda t: alpha * np.log1p((math.e - 1) * t),
    }
    rows = []
    for name, spend in spending.items():
        last = alpha if spend is None else alpha - float(spend(np.array(1 / looks.GROWTH)))
        planned = statistics.sample_size(0.01, 0.02, ratio, last, power)
        at = np.ones(1) if spend is None else np.array(looks.levels(planned))
        part = np.array([alpha]) if spend is None else np.diff(spend(at), prepend=0.0)
        ours, theirs, (count, other) = errors_at(np.ceil(planned * at), ratio, canaries, random)
        p_values = stats.hypergeom.sf(ours - 1, count + other, ours + theirs, count)
        rows.append({"method": name, "ratio": ratio, "planned": planned, **stopped(p_values <= part, count)})
    rows.append({"method": "mixture of likelihood ratios", "ratio": ratio, **mixture(ratio, alpha, canaries, random)})
    return rows


def mixture(ratio: float, alpha: float, canaries: int, random: np.random.Generator) -> dict[str, Any]:
    """Robbins' mixture (Ann. Math. Statist. 41 (1970) 1397) on whose each error is, valid at any time; 200 looks.

    For rare errors, one is the candidate's with probability r / (r + ratio) where its rate is r times the baseline's.
    The weights are equal on these r. Planned: the least that has the power, in steps of a twentieth of one look's size.
    """
    ratios = np.array([1.25, 1.5, 2.0, 3.0, 5.0, 10.0])
    alone = statistics.sample_size(0.01, 0.02, ratio, alpha, POLICY.gate.power)
    for factor in np.arange(1.0, 3.0, 0.05):
        planned = alone * factor
        ours, theirs, (count, _) = errors_at(np.ceil(planned * np.linspace(0.005, 1, 200)), ratio, canaries, random)
        logs = [
            ours * math.log(r * (1 + ratio) / (r + ratio)) + theirs * math.log((1 + ratio) / (r + ratio))
            for r in ratios
        ]
        crossed = np.logaddexp.reduce(logs) - math.log(len(ratios)) >= -math.log(alpha)
        found = stopped(crossed, count)
        if found["power"] >= POLICY.gate.power:
            break
    return {"planned": int(planned), **found}


def errors_at(counts: Array, ratio: float, canaries: int, random: np.random.Generator) -> tuple[Array, Array, Any]:
    """Errors of candidate (2 %) and baseline (1 %) at these counts of the candidate's requests."""
    count = counts.astype(int)
    other = np.round(ratio * count).astype(int)
    ours, theirs = (
        random.binomial(np.diff(number, prepend=0), rate, (canaries, len(number))).cumsum(axis=1)
        for number, rate in ((count, 0.02), (other, 0.01))
    )
    return ours, theirs, (count, other)


def stopped(crossed: Array, count: Array) -> dict[str, float]:
    """Power, and the mean of requests where it stops."""
    where = np.where(crossed.any(axis=1), crossed.argmax(axis=1), len(count) - 1)
    return {"power": float(crossed.any(axis=1).mean()), "mean": float(count[where].mean())}


# ---- text ----


def text(found: dict[str, Any]) -> str:
    """Tables in Markdown."""
    equal = found["equal"]
    lines = [
        f"{found['canaries']:,} cutovers of equal quality, seed {found['seed']}: {equal['rate']:.1%} rolled back or "
        f"held (95 % interval {equal['low']:.1%} to {equal['high']:.1%}; at most {POLICY.gate.alpha:.0%} wanted): "
        f"{', '.join(equal['where']) or 'nowhere'}",
        "",
        "| step | requests of the candidate | seconds at 500/s |",
        "|---|---|---|",
        *(f"| {row['step']} | {row['candidate']:,} | {row['seconds']:,.0f} |" for row in found["steps"]),
        "",
        "| bad release | step | found (of) | requests | seconds | 95 % within |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['release']} | {row['step']} | {row['power']:.1%} ({row['canaries']:,}) | {row['requests']:,.0f} | "
            f"{row['seconds']:.1f} | {row['seconds_p95']:.1f} |"
            for row in found["bad"]
        ),
        "",
        "| catastrophe | step | seconds | worst of 20 |",
        "|---|---|---|---|",
        *(
            f"| {row['release']} | {row['step']} | {row['seconds']:.0f} | {row['worst']} |"
            for row in found["catastrophes"]
        ),
        "",
        "| rolled back in a cutover | fixed threshold | Kayenta |",
        "|---|---|---|",
        *(f"| {row['release']} | {row['threshold']:.1%} | {row['kayenta']:.1%} |" for row in found["peers"]),
        "",
        "| method, 2 % against 1 %, same error | baseline : candidate | planned | mean | power |",
        "|---|---|---|---|---|",
        *(
            f"| {row['method']} | {row['ratio']:g} | {row['planned']:,} | {row['mean']:,.0f} | {row['power']:.1%} |"
            for row in found["methods"]
        ),
        "",
        f"{found['seconds']:.0f} s",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
