"""Drills as pictures: a bar for each moment, as long as what came before it took, all on one scale of time."""

from __future__ import annotations

from dataclasses import dataclass

from ferry.artefacts import Drill, Drills
from ferry.artefacts.drills import Moment, minutes

WIDTH = 400.0
"""Of the scale of time, in SVG user units."""
MARGIN = 0.98
"""Of that scale the longest drill takes so much: a line at its end can be seen."""


@dataclass(frozen=True)
class Stretch:
    """The time that led to a moment: where it starts and how wide it is, in SVG user units; 0 where it is beside."""

    moment: Moment
    at: str
    x: float
    width: float


@dataclass(frozen=True)
class DrillPicture:
    """One drill, drawn. `target_x`: where its target lies on the scale."""

    drill: Drill
    stretches: list[Stretch]
    target_x: float
    savings: list[tuple[str, str, float]]
    """Of each other choice: its name, when it recovers, and where that lies."""


def pictures(drills: Drills) -> list[DrillPicture]:
    """Each drill that ran, on the scale of the longest one."""
    ran = [drill for drill in drills.drills if drill.skipped is None]
    longest = max((second for drill in ran for second in _seconds(drill)), default=1.0)
    scale = MARGIN * WIDTH / longest
    return [_picture(drill, scale) for drill in ran]


def _seconds(drill: Drill) -> list[float]:
    moments = [moment.at_s for moment in drill.timeline]
    return [drill.target_s, *moments, *(saving.recovery_s for saving in drill.savings)]


def _picture(drill: Drill, scale: float) -> DrillPicture:
    stretches, before = [], 0.0
    for moment in drill.timeline:
        begun = moment.at_s if moment.beside else before
        x, end = round(begun * scale, 1), round(moment.at_s * scale, 1)
        stretches.append(Stretch(moment, minutes(moment.at_s), x, round(end - x, 1)))
        before = before if moment.beside else moment.at_s
    savings = [
        (saving.choice, minutes(saving.recovery_s), round(saving.recovery_s * scale, 1)) for saving in drill.savings
    ]
    return DrillPicture(drill, stretches, round(drill.target_s * scale, 1), savings)
