"""A gateway under load: the rendered Envoy under its supervisor, an engine at home and one in the cloud, clients."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from ferry.artefacts.drills import Phase
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.errors import RehearsalError
from ferry.rehearsal.crossing.site import Site, serving
from ferry.rehearsal.load import Answer, Load
from ferry.traffic.cutover.state import HOME, Division
from ferry.traffic.cutover.weights import GatewayWeights

REQUESTS_PER_SECOND = 60
WARM_ANSWERS = 20
"""Before anything is broken: connections are open by then."""
STEADY: Mapping[str, Any] = {"ttft_sigma": 0, "tpot_sigma": 0}
"""Both engines take the same time for each request, so that nothing is slower but what was broken."""
SOURCE = f"Envoy and two stub engines on this machine, {REQUESTS_PER_SECOND} requests/s"
POLL_S = 0.02


@dataclass(frozen=True)
class Traffic:
    """What runs, up as long as the context that gave it."""

    site: Site
    load: Load

    def divide(self, cloud_percent: int) -> None:
        """Give the cloud a share, as a cutover does it. Raises GatewayError."""
        weights = GatewayWeights(self.site.folder, self.site.folder.admin())
        weights.set(Division(candidate=cloud_percent), before=HOME, fence=weights.take_over(0))

    def cloud_percent(self) -> int:
        """Of the routes that Envoy runs. Raises GatewayError."""
        return self.site.folder.admin().applied_routes().weights["cloud"]

    def lost(self) -> list[Answer]:
        """Requests without a whole answer, so far."""
        return [answer for answer in self.load.answers if answer.outcome != "answered"]


def site_folder(scene: Scene) -> Path:
    """An empty folder for a site."""
    return Path(mkdtemp(dir=scene.scratch, prefix="site-"))


@contextmanager
def under_load(scene: Scene, *, cloud_percent: int = 0) -> Iterator[Traffic]:
    """A site whose clients are answered, with this share of them by the cloud. Raises GatewayError without Envoy."""
    with serving(site_folder(scene), scene.settings, home=STEADY, cloud=STEADY) as site:
        load = Load(site.url, requests_per_second=REQUESTS_PER_SECOND)
        traffic = Traffic(site, load)
        if cloud_percent:
            traffic.divide(cloud_percent)
        with load:
            if not seen_within(10, lambda: len(load.answers) >= WARM_ANSWERS):
                raise RehearsalError(f"{site.url}: {len(load.answers)} requests were answered within 10 s")
            if lost := traffic.lost():
                raise RehearsalError(f"{site.url}: {len(lost)} requests were lost before anything was broken")
            yield traffic


def seen_within(seconds: float, seen: Callable[[], bool]) -> bool:
    """Whether something is seen in time."""
    end = time.monotonic() + seconds
    while not seen():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


@dataclass(frozen=True, order=True)
class Happened:
    """Something that was seen here, in seconds of `time.monotonic`."""

    at: float
    phase: Phase
    what: str


def tell(timeline: Timeline, faulted_at: float, happened: Iterable[Happened], source: str = SOURCE) -> None:
    """What was seen since the fault, in the order of time, where nothing was waited for that AWS would wait for."""
    for one in sorted(happened):
        timeline.did(one.phase, one.what, max(0.0, one.at - faulted_at - timeline.now_s), source)
