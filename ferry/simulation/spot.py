"""When Spot Instances are taken back: from a recording, or at random with a rate.

EC2 gives two minutes' notice (`fleet.SPOT_NOTICE_S`). A group replaces an interrupted instance by another Spot
Instance: what a mixed-instances group has of On-Demand is its base and its percentage, and it "keeps trying in other
Spot Instance pools … rather than launching On-Demand Instances" (Amazon EC2 Auto Scaling User Guide, "Auto Scaling
groups with multiple instance types and purchase options"). That a replacement may not be had for a while is not
simulated.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ferry.artefacts import first_problem
from ferry.cost.money import HOURS_PER_MONTH
from ferry.errors import InvalidField, UnreadableInput
from ferry.simulation.workload import Floats

HOUR_S = 3600.0

MONTHLY_SHARE = {"p4d": (0.05, 0.10), "p5": (0.10, 0.20)}
"""Share of the Spot capacity of a family that was reclaimed within a month, lowest and highest: bands of the AWS Spot
Instance Advisor, as reported. Assumed: the advisor says so by region and anew each month. Other families: unknown."""


@dataclass(frozen=True, eq=False)
class Interruptions:
    """Notices in order of time.

    time_s: float64[N], seconds from the start, ascending
    slot:   int32[N]; slot s is the s-th oldest Spot Instance in service at that time (0 the oldest), nobody when there
            are not that many
    """

    time_s: Floats
    slot: NDArray[np.int32]


def hazard_per_hour(monthly_share: float) -> float:
    """Rate of interruptions of one instance, from the share of capacity that is reclaimed within a month of 730 hours.

    The advisor's "frequency of interruption represents the rate at which Spot has reclaimed capacity during the
    trailing month"; with a constant hazard h, the share is 1 - exp(-730 h). Raises InvalidField unless 0 <= share < 1.
    """
    if not 0 <= monthly_share < 1:
        raise InvalidField(f"share interrupted a month is {monthly_share!r}, allowed is 0 up to, not including, 1")
    return -math.log1p(-monthly_share) / float(HOURS_PER_MONTH)


def poisson(*, per_hour: float, instances: int, horizon_s: float, seed: int) -> Interruptions:
    """Interruptions of a fleet that has up to `instances` Spot Instances, each with the same constant hazard.

    Times come at `instances` times the rate, each for one slot of all, so that a smaller fleet meets its own share
    only: the process is exact whatever the size does meanwhile (thinning; Lewis and Shedler, 1979).
    Raises InvalidField when a number is below 0 or not finite.
    """
    for name, value in (("rate per hour", per_hour), ("instances", instances), ("horizon_s", horizon_s)):
        if not (math.isfinite(value) and value >= 0):
            raise InvalidField(f"spot interruptions: {name} is {value!r}, allowed is a number of at least 0")
    random = np.random.default_rng(seed)
    count = int(random.poisson(per_hour / HOUR_S * instances * horizon_s))
    times = np.sort(random.uniform(0.0, horizon_s, count))
    return Interruptions(times, random.integers(0, max(instances, 1), count, dtype=np.int32))


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    gap_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Recording(BaseModel):
    """Instances that were there at each tick, `metadata.gap_seconds` apart.

    The format of the traces of "Can't Be Late" (Wu et al., NSDI 2024), availability or preemption; other keys (prices)
    are left alone.
    """

    model_config = ConfigDict(extra="ignore", strict=True)
    metadata: _Metadata
    data: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2)]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.data) * self.metadata.gap_seconds

    def interruptions(self, *, instances: int, horizon_s: float, offset_s: float = 0.0) -> Interruptions:
        """Each fall from a to b at a tick: a - b times, the instance that is beyond the b oldest is taken.

        So a fleet of no more than b Spot Instances loses nobody, and a larger one what the pool no longer had room for.
        `instances` is the most Spot Instances that the fleet may have, and `offset_s` where in the recording it starts.
        Raises InvalidField when the recording saw fewer instances, or is too short.
        """
        if not 0 <= offset_s <= offset_s + horizon_s <= self.seconds:
            raise InvalidField(
                f"recording of interruptions lasts {self.seconds:g} s, asked for are {horizon_s:g} s from "
                f"{offset_s:g} s on; choose a longer recording, or a rate"
            )
        counts = np.asarray(self.data, dtype=np.int64)
        if instances > counts.max():
            raise InvalidField(
                f"recording of interruptions saw up to {counts.max()} instances, the fleet may have {instances} on the "
                "spot market; choose a recording of more instances, or a rate"
            )
        lost = np.maximum(counts[:-1] - counts[1:], 0)
        times = np.repeat(np.arange(1, len(counts)) * self.metadata.gap_seconds - offset_s, lost)
        slots = np.repeat(counts[1:], lost).astype(np.int32)
        inside = (times >= 0) & (times < horizon_s)
        return Interruptions(times[inside], slots[inside])

    def per_hour(self) -> float:
        """Interruptions of one instance in an hour that it ran: the rate of a Poisson process that loses as many."""
        counts = np.asarray(self.data, dtype=np.int64)
        hours = float(counts[:-1].sum()) * self.metadata.gap_seconds / HOUR_S
        if hours == 0:
            raise InvalidField("recording of interruptions: no instance ever ran, so it has no rate")
        return float(np.maximum(counts[:-1] - counts[1:], 0).sum()) / hours


def read_recording(path: Path) -> Recording:
    """A JSON file. Raises UnreadableInput naming the file and what is wrong."""
    try:
        return Recording.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"{path}: cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise UnreadableInput(f"{path}: is not JSON: {error}") from error
    except ValidationError as error:
        raise UnreadableInput(f"{path}: {first_problem(error)}") from error
