"""What a step still lacks, in words, and how long that takes at the present rate."""

from __future__ import annotations

from ferry.traffic.gate.decision import Required
from ferry.traffic.gate.events import KINDS
from ferry.traffic.gate.measures import Measured


def missing(
    theirs: Measured, ours: Measured, need: Required, elapsed_s: float, smallest_kind: float, *, recorded: bool
) -> str:
    """The lack that takes longest. `recorded`: the baseline's requests are recorded ones, and no more will come."""
    baseline, candidate = len(theirs), len(ours)
    if recorded and baseline < need.baseline:
        return f"{baseline:,} requests are recorded at the baseline, {need.baseline:,} are needed to compare with"
    lacks = [
        (baseline, need.baseline, "requests of the baseline"),
        (candidate, need.candidate, "requests of the candidate"),
    ]
    for names in KINDS:
        have = int(theirs.have(names).sum()), int(ours.have(names).sum())
        if min(have[0] / max(1, baseline), have[1] / max(1, candidate)) >= smallest_kind:
            lacks.append((have[0], need.baseline_latencies, f"{names[0]} of the baseline"))
            lacks.append((have[1], need.candidate_latencies, f"{names[0]} of the candidate"))
    none = [(wanted, what) for count, wanted, what in lacks if not count]
    if none:
        wanted, what = none[0]
        return f"no {what} in {elapsed_s:.0f} s, {wanted:,} are needed; at that rate it never ends"
    rest = [
        (elapsed_s * (wanted - count) / count, count, wanted, what) for count, wanted, what in lacks if count < wanted
    ]
    if rest and max(rest)[0] > need.minimum_seconds - elapsed_s:
        seconds, count, wanted, what = max(rest)
        rate = f"{count / elapsed_s:,.3g} a second" if elapsed_s else "the present rate"
        return f"{count:,} of {wanted:,} {what}; {wanted - count:,} more take about {seconds:,.0f} s at {rate}"
    left = max(0.0, need.minimum_seconds - elapsed_s)
    return f"{elapsed_s:.0f} of at least {need.minimum_seconds:.0f} s, another {left:.0f} s"
