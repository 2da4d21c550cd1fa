"""cloud-unreachable: the cloud answers everything, and is gone from one moment to the next.

Two ways lead home: each request's own, which Envoy sends to the other side when nobody takes it, and `ferry rollback`,
which has to work although the cloud cannot be asked.
"""

from __future__ import annotations

import time

from ferry.artefacts import Drill
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.drills.traffic import REQUESTS_PER_SECOND, Happened, Traffic, seen_within, tell, under_load
from ferry.errors import GatewayError
from ferry.rehearsal.load import Answer

NAME = "cloud-unreachable"
FAULT = "the cloud, which answers every request, is gone: kill -9"
PATIENCE_S = 6.0
QUIET_S = 1.0
"""Answered from home for so long, all of it: that is a recovery, and no chance."""
IN_FLIGHT_S = 0.1
"""A request may be on a connection whose end Envoy has not heard of yet."""


def drill(scene: Scene) -> Drill:
    """One loss of the cloud at 100 %, under load."""
    with under_load(scene, cloud_percent=100) as traffic:
        return _lost(scene, traffic)


def _lost(scene: Scene, traffic: Traffic) -> Drill:
    timeline = Timeline(NAME, FAULT, scene.target_s)
    admin = traffic.site.folder.admin()
    happened: list[Happened] = []
    failures = admin.counters()["cloud"].connect_failures
    traffic.site.cloud.kill()
    faulted_at = time.monotonic()

    def is_out() -> bool:
        counted = admin.counters()["cloud"]
        return counted.ejected > 0 or counted.healthy == 0

    if seen_within(PATIENCE_S, lambda: admin.counters()["cloud"].connect_failures > failures):
        what = "Envoy finds that nobody takes connections there"
        happened.append(Happened(time.monotonic(), "detected", what))
    out_at = time.monotonic() if seen_within(PATIENCE_S, is_out) else None

    def is_back() -> bool:
        quiet_s = time.monotonic() - _last_not_from_home(traffic, faulted_at)
        return quiet_s > QUIET_S and len(_from_home(traffic)) > QUIET_S * REQUESTS_PER_SECOND / 2

    recovered = seen_within(PATIENCE_S, is_back)
    if out_at is None:
        timeline.missing.append(f"Envoy did not take the cloud out within {PATIENCE_S:g} s: outlier_detection")
    else:
        happened.append(Happened(out_at, "decided", "Envoy takes the cloud out: nothing is tried there any more"))
    if not recovered:
        timeline.missing.append("requests are not answered from home: the engine there has to take what the cloud does")
    elif out_at is not None:
        back_at = max(_last_not_from_home(traffic, faulted_at), out_at, _from_home(traffic)[0])
        happened.append(Happened(back_at, "recovered", "every request is answered, by the engine at home"))
    tell(timeline, faulted_at, happened)
    _roll_back(timeline, traffic, faulted_at)
    traffic.load.stop()
    lost = traffic.lost()
    timeline.lost_requests = len(lost)
    if late := [one for one in lost if traffic.load.began_at + one.sent_s > faulted_at + IN_FLIGHT_S]:
        timeline.missing.append(f"{len(late)} requests were lost that were sent after the cloud was gone: retry_policy")
    return timeline.end()


def _roll_back(timeline: Timeline, traffic: Traffic, faulted_at: float) -> None:
    started = time.monotonic()
    try:
        done = traffic.site.desk.go_home(force=False, why="drilled")
        problem = "; ".join(done.problems) or (done.home.reason if done.refused else "")
    except GatewayError as error:
        problem = str(error)
    if problem:
        timeline.missing.append(f"`ferry rollback` did not come into force: {problem}")
        return
    seconds = time.monotonic() - started
    what = f"`ferry rollback`: everything goes home, {seconds:.2f} s later, and the cloud was not asked"
    tell(timeline, faulted_at, [Happened(time.monotonic(), "note", what)])


def _last_not_from_home(traffic: Traffic, faulted_at: float) -> float:
    """When the last request ended that somebody else answered, or nobody."""
    others = [one for one in traffic.load.answers if one.outcome != "answered" or one.engine != "home"]
    return max([faulted_at, *(_ended_at(traffic, one) for one in others)])


def _from_home(traffic: Traffic) -> list[float]:
    """When requests ended that the engine at home answered, the first one first."""
    return sorted(_ended_at(traffic, one) for one in traffic.load.answers if one.engine == "home")


def _ended_at(traffic: Traffic, answer: Answer) -> float:
    return traffic.load.began_at + answer.sent_s + answer.seconds
