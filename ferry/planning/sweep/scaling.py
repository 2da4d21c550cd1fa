"""The scaling of a candidate: what a stack would provision, and what the simulation makes of exactly that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ferry.planning.fleet_size import LOAD_RELEASE, LOAD_TARGET, SCALE_OUT_STEP
from ferry.simulation.policies import OFFICE_HOURS, from_stack
from ferry.simulation.scaling_spec import ScalingSpec, TargetTracking
from stacks.settings import FleetSettings, ScalingSettings

PLANS_OWN = ScalingSettings(scale_out_above=LOAD_TARGET, scale_out_add=SCALE_OUT_STEP, scale_in_below=LOAD_RELEASE)
"""The rule of a plan without a sweep."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """One policy with its figures.

    kind:        `steps` with `settings`; `target-tracking` of the load `target`; `schedule`: the largest size in office
                 hours, else the smallest; `none`: one size
    warms_up:    whether a step's warm-up is the time that the instance needs to start, else what `settings` say
    """

    name: str
    kind: Literal["steps", "target-tracking", "schedule", "none"]
    settings: ScalingSettings = PLANS_OWN
    warms_up: bool = True
    target: float | None = None

    @property
    def is_provisioned(self) -> bool:
        """Whether a stack can say it. Target tracking needs a policy that no component makes: it is for comparison."""
        return self.kind != "target-tracking"

    @property
    def has_one_size(self) -> bool:
        """Whether least and most instances are one number."""
        return self.kind == "none"

    def fleet(self, low: int, high: int, *, start_s: float, time_zone: str) -> dict[str, Any]:
        """The keys of a stack's fleet that say it."""
        settings = self._settings(start_s)
        keys: dict[str, Any] = {
            "min_size": low,
            "max_size": high,
            "scaling": settings.model_dump(include=set(_SAID) | settings.model_fields_set),
        }
        if self.kind == "schedule":
            # Within the hours least and most are equal, so that no alarm changes what the schedule says.
            work, rest = OFFICE_HOURS
            keys["schedules"] = [
                _action("office-hours", work, time_zone, high),
                _action("rest", rest, time_zone, low),
            ]
        return keys

    def spec(self, low: int, high: int, *, start_s: float, time_zone: str) -> ScalingSpec:
        """What the simulation takes. Raises InvalidField for what AWS refuses."""
        if self.target is not None:
            return ScalingSpec(
                min_size=low,
                max_size=high,
                initial=low,
                policies=(TargetTracking(target=self.target),),
                warmup_seconds=math.ceil(start_s),
            )
        if low == high:
            # Alarms that cannot change anything are left out, so that all such candidates share one replay.
            return ScalingSpec(min_size=low, max_size=high, initial=low)
        keys = self.fleet(low, high, start_s=start_s, time_zone=time_zone)
        return from_stack(FleetSettings.model_validate({"instance_types": ["g5.xlarge"], **keys}))

    def _settings(self, start_s: float) -> ScalingSettings:
        if not self.warms_up:
            return self.settings
        return self.settings.model_copy(update={"warmup_seconds": math.ceil(start_s)})

    def __hash__(self) -> int:
        return hash(self.name)


_SAID = ("scale_out_above", "scale_out_add", "scale_in_below", "scale_in_remove", "warmup_seconds")


def plans_own() -> Scaling:
    """The rule that a plan without a sweep provisions."""
    return Scaling(name="plan", kind="steps")


def shipped_article() -> Scaling:
    """The source article's rule, with the stack's default warm-up."""
    return Scaling(name="article", kind="steps", settings=ScalingSettings(), warms_up=False)


def stepped(settings: ScalingSettings) -> Scaling:
    """Step scaling with other thresholds."""
    out = f"+{settings.scale_out_add} above {settings.scale_out_above:g}"
    return Scaling(
        name=f"steps {out}, -{settings.scale_in_remove} below {settings.scale_in_below:g}",
        kind="steps",
        settings=settings,
    )


def tracked(target: float) -> Scaling:
    """AWS's target tracking."""
    return Scaling(name=f"target-tracking {target:g}", kind="target-tracking", target=target)


def _action(name: str, recurrence: str, time_zone: str, size: int) -> dict[str, Any]:
    return {
        "name": name,
        "recurrence": recurrence,
        "time_zone": time_zone,
        "min_size": size,
        "max_size": size,
        "desired_capacity": size,
    }
