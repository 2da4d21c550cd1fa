"""One side dies: what it cannot take goes to the other, before any answer has begun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ferry.traffic.gateway import Mirror
from tests.gateways import DOMAIN, Authority, Backend, Site, running, wait_until


@pytest.fixture
def mortal(authority: Authority, folder: Callable[[int, int], Path]) -> Iterator[Site]:
    """A gateway of its own between two engines that may be killed."""
    with (
        Backend("local").serving() as local,
        Backend("cloud").serving(authority.server(DOMAIN)) as cloud,
        running(folder(local.port, cloud.port)) as gateway,
    ):
        wait_until(lambda: gateway.admin.counters()["cloud"].healthy == 1)
        yield Site(gateway, local, cloud, gateway.folder.read_routes())


@pytest.mark.parametrize("first", ["local", "cloud"])
def test_what_a_dead_side_cannot_take_goes_to_the_other_side(mortal: Site, first: str) -> None:
    dead, alive = (mortal.local, mortal.cloud) if first == "local" else (mortal.cloud, mortal.local)
    mortal.gateway.route(weights={"local": 0, "cloud": 0} | {first: 100})
    dead.die()
    assert mortal.gateway.post().name == alive.name
    (line,) = mortal.gateway.lines(1)
    assert (line["aimed"], line["cluster"], line["attempts"]) == (f"{first}-then-{alive.name}", alive.name, 2)
    tries = [(one["cluster"], one["flags"], one["finished"]) for one in mortal.gateway.lines(2, upstream=True)]
    assert tries == [(first, "UF", False), (alive.name, "-", True)]
    # Many at once: Envoy by default retries three at a time and fails the fourth.
    with ThreadPoolExecutor(24) as clients:
        answers = list(clients.map(lambda _: mortal.gateway.post(), range(120)))
    assert Counter((answer.status, answer.name) for answer in answers) == {(200, alive.name): 120}
    assert len(alive.requests) == 121
    # Then nobody tries any more: a single engine is ejected too.
    assert mortal.gateway.admin.counters()[first].ejected == 1
    assert mortal.gateway.admin.counters()[alive.name].errors_5xx == 0


def test_with_both_sides_dead_clients_are_told_when_to_come_back(mortal: Site) -> None:
    mortal.local.die()
    mortal.cloud.die()
    for _ in range(8):  # before and after both are ejected
        answer = mortal.gateway.post()
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    (line, *_) = mortal.gateway.lines(8)
    assert (line["finished"], line["status"], line["attempts"]) == (False, 503, 3)


def test_copies_do_not_fail_over_to_the_side_that_has_the_request_already(mortal: Site) -> None:
    mortal.gateway.route(mirror=Mirror(cluster="cloud", percent=100))
    mortal.cloud.die()
    assert mortal.gateway.served_by(3) == {"local": 3}
    copies = [line for line in mortal.gateway.lines(6, upstream=True) if line["mirrored"]]
    assert {(line["cluster"], line["status"], line["flags"]) for line in copies} == {("cloud", 0, "UF")}
    assert len(mortal.local.requests) == 3


def test_traffic_comes_home_while_the_cloud_is_unreachable(mortal: Site) -> None:
    mortal.gateway.route(weights={"local": 0, "cloud": 100})
    assert mortal.gateway.post().name == "cloud"
    mortal.cloud.die()
    mortal.gateway.route(weights={"local": 100, "cloud": 0})
    assert mortal.gateway.post().name == "local"
    (_, line) = mortal.gateway.lines(2)
    assert (line["aimed"], line["attempts"]) == ("local-then-cloud", 1)


def test_an_engine_that_comes_back_gets_its_requests_again(mortal: Site) -> None:
    mortal.local.die()
    assert mortal.gateway.post().name == "cloud"
    with mortal.local.serving():
        wait_until(lambda: mortal.gateway.post().name == "local")
