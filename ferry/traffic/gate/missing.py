"""What a step still lacks, in words, and how long that takes at the present rate."""

from __future__ import annotations

from ferry.traffic.gate.decision import Required
from ferry.traffic.gate.samples import KINDS, Samples


def missing(samples: Samples, need: Required, elapsed_s: float, smallest_kind: float, *, recorded: bool) -> str:
    """The lack that takes longest. `recorded`: the baseline's requests are recorded ones, and no more will come."""
    baseline, candidate = len(samples.baseline), len(samples.candidate)
    if recorded and baseline < need.baseline:
        return f"{baseline:,} requests are recorded at the baseline, {need.baseline:,} are needed to compare with"
    lacks = [
        (baseline, need.baseline, "requests of the baseline"),
        (candidate, need.candidate, "requests of the candidate"),
    ]
    for kind, theirs, ours in zip(KINDS, *samples.kinds(), strict=True):
        if min(theirs / max(1, baseline), ours / max(1, candidate)) >= smallest_kind:
            lacks.append((int(theirs), need.baseline_latencies, f"{kind[0]} of the baseline"))
            lacks.append((int(ours), need.candidate_latencies, f"{kind[0]} of the candidate"))
    none = [what for have, _, what in lacks if not have]
    if none:
        wanted = next(wanted for have, wanted, _ in lacks if not have)
        return f"no {none[0]} in {elapsed_s:.0f} s, {wanted:,} are needed; at that rate it never ends"
    rest = [(elapsed_s * (wanted - have) / have, have, wanted, what) for have, wanted, what in lacks if have < wanted]
    if rest and max(rest)[0] > need.minimum_seconds - elapsed_s:
        seconds, have, wanted, what = max(rest)
        rate = f"{have / elapsed_s:,.3g} a second" if elapsed_s else "the present rate"
        return f"{have:,} of {wanted:,} {what}; {wanted - have:,} more take about {seconds:,.0f} s at {rate}"
    left = max(0.0, need.minimum_seconds - elapsed_s)
    return f"{elapsed_s:.0f} of at least {need.minimum_seconds:.0f} s, another {left:.0f} s"
