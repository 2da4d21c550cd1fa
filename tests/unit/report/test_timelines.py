"""Drills as pictures: bars that follow each other on one scale of time."""

from __future__ import annotations

from ferry.artefacts import Drill, Drills, Moment, Saving, now
from ferry.report.timelines import MARGIN, WIDTH, pictures


def moment(at_s: float, *, beside: bool = False) -> Moment:
    return Moment(
        at_s=at_s, phase="note", what="a step", basis="assumed", source="a page", clock="simulated", beside=beside
    )


def drills(*each: Drill) -> Drills:
    return Drills(
        schema_=Drills.SCHEMA, made_at=now(), environment="prod", region="us-east-1", seconds=1, drills=[*each]
    )


def test_bars_follow_each_other_to_the_scale_of_the_longest_drill() -> None:
    slow = Drill(name="slow", fault="", target_s=500, timeline=[moment(0), moment(250), moment(1000)])
    quick = Drill(
        name="quick", fault="", target_s=500, timeline=[moment(0), moment(125)],
        savings=[Saving(choice="a pool", recovery_s=62.5)],
    )  # fmt: skip
    [first, second] = pictures(drills(slow, quick))
    whole = MARGIN * WIDTH
    assert [(one.x, one.width) for one in first.stretches] == [
        (0, 0),
        (0, round(whole / 4, 1)),
        (round(whole / 4, 1), round(3 * whole / 4, 1)),
    ]
    assert (second.stretches[1].at, second.stretches[1].width) == ("2:05", round(whole / 8, 1))
    assert second.savings == [("a pool", "1:02", round(whole / 16, 1))]
    assert first.target_x == second.target_x == round(whole / 2, 1)


def test_what_happens_beside_the_rest_is_a_mark_that_shortens_no_bar() -> None:
    timeline = [moment(0), moment(250, beside=True), moment(500), moment(1000)]
    [drawn] = pictures(drills(Drill(name="one", fault="", target_s=500, timeline=timeline)))
    whole = MARGIN * WIDTH
    assert [(one.x, one.width) for one in drawn.stretches[1:]] == [
        (whole / 4, 0),
        (0, whole / 2),
        (whole / 2, whole / 2),
    ]


def test_what_was_skipped_is_not_drawn() -> None:
    assert pictures(drills(Drill(name="spot-storm", fault="", target_s=900, timeline=[], skipped="no Spot"))) == []
