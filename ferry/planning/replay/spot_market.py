"""A share of Spot Instances in a case, and when the market takes them back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ferry.catalog import prices
from ferry.planning.replay.case import Case
from ferry.simulation.spot import MONTHLY_SHARE, Interruptions, hazard_per_hour, poisson, read_recording


def with_spot(case: Case, share: float, *, recording: Path | None, horizon_s: float, seed: int) -> tuple[Case, str]:
    """The case with that share of Spot above the on-demand base, and a note on its interruptions.

    They come from a recording, else at random with the upper rate that is known of the instance family, else not at
    all. Raises CatalogError without a Spot price, and what reading a recording raises.
    """
    prices.spot(case.instance.name, case.plan.region)
    family = case.instance.name.partition(".")[0]
    most = case.sizes.max_size
    if recording is not None:
        found = read_recording(recording).interruptions(instances=most, horizon_s=horizon_s)
        note = f"Spot Instances are taken back as {recording.name} recorded"
    elif family in MONTHLY_SHARE:
        rate = MONTHLY_SHARE[family][1]
        found = poisson(per_hour=hazard_per_hour(rate), instances=most, horizon_s=horizon_s, seed=seed)
        note = f"{rate:.0%} of the {family} Spot Instances are taken back in a month (assumed), at random, seed {seed}"
    else:
        return _of(case, share, None), f"no Spot Instance is taken back: no rate is known of {family}"
    return _of(case, share, found), f"{note}: {len(found.time_s)} notices"


def _of(case: Case, share: float, found: Interruptions | None) -> Case:
    fleet = replace(case.fleet, spot_share=share)
    if found is not None:
        fleet = replace(fleet, spot_interruptions_s=found.time_s, spot_interruption_slots=found.slot)
    return replace(case, fleet=fleet)
