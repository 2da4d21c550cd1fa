"""A rendered gateway as a real Envoy on loopback, between an engine at home and a TLS load balancer in the cloud.

with running(folder, addresses) as gateway: gateway.post(); gateway.admin.counters(); gateway.lines(1)
"""

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
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ferry.render import Addresses
from ferry.traffic.gateway import Admin, GatewayFolder, Routes
from ferry.traffic.gateway.command import ARGUMENTS, find_envoy

DOMAIN = "llm.site.example"
STREAM = [
    'data: {"choices": [], "usage": null}',
    'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}',
]


@dataclass
class Backend:
    """A tiny engine. It notes every request but health checks; `answer` says what becomes of one.

    A status; `close`: no answer; `stream`, `endless stream` (without `[DONE]`), `waiting stream` (until `go_on`),
    `cut stream` and `cut`: half of one.
    """

    name: str
    port: int = 0
    answer: str = "200"
    health: int = 200
    padding: int = 0
    pause_seconds: float = 0
    """Between two events of a stream."""
    requests: list[dict[str, str]] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    connections: set[socket.socket] = field(default_factory=set)
    server: ThreadingHTTPServer | None = None

    @contextmanager
    def serving(self, tls: ssl.SSLContext | None = None) -> Iterator[Backend]:
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                backend.connections.add(self.connection)

            def finish(self) -> None:
                backend.connections.discard(self.connection)
                super().finish()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                backend.requests.append({"path": self.path} | {key.lower(): val for key, val in self.headers.items()})
                if backend.answer == "close":
                    self.close_connection = True
                elif "stream" in backend.answer:
                    self.stream()
                elif backend.answer == "cut":
                    self.begin(200, "application/json", length=1000)
                    self.close_connection = True
                else:
                    usage = {"prompt_tokens": 3, "completion_tokens": 4}
                    body = json.dumps({"name": backend.name, "usage": usage, "padding": "x" * backend.padding})
                    self.reply(int(backend.answer), body)

            def do_GET(self) -> None:
                self.reply(backend.health, "")

            def stream(self) -> None:
                self.begin(200, "text/event-stream; charset=utf-8")
                for event in [*STREAM, *([] if backend.answer == "endless stream" else ["data: [DONE]"])]:
                    self.wfile.write(f"{len(event) + 2:x}\r\n{event}\n\n\r\n".encode())
                    if backend.answer == "cut stream":
                        self.close_connection = True
                        return
                    time.sleep(backend.pause_seconds)
                    if backend.answer == "waiting stream":
                        backend.go_on.wait(20)
                self.wfile.write(b"0\r\n\r\n")

            def reply(self, status: int, body: str) -> None:
                self.begin(status, "application/json", length=len(body))
                self.wfile.write(body.encode())

            def begin(self, status: int, kind: str, length: int | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                if length is None:
                    self.send_header("Transfer-Encoding", "chunked")
                else:
                    self.send_header("Content-Length", str(length))
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """A client that breaks off is what some tests are about."""

        server = Server(("127.0.0.1", self.port), Handler)
        if tls:
            tls.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self.port, self.server = server.server_port, server
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.die()
            thread.join()

    def die(self) -> None:
        """Listen no more, and break off every connection, as a killed process does."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


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

    folder: GatewayFolder
    process: subprocess.Popen[bytes]

    @cached_property
    def admin(self) -> Admin:
        return self.folder.admin()

    @cached_property
    def port(self) -> int:
        return self.folder.address()[1]

    def post(self, path: str = "/v1/chat/completions", body: str = "{}", **headers: str) -> Answer:
        return request(self.port, "POST", path, body, {key.replace("_", "-"): value for key, value in headers.items()})

    def hang_up(self) -> None:
        """Ask, and go away as soon as the answer has begun."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", "/v1/chat/completions", "{}")
        connection.getresponse().read(1)
        connection.close()

    def served_by(self, count: int, **headers: str) -> Counter[str]:
        return Counter(self.post(**headers).name for _ in range(count))

    def route(self, **changes: Any) -> Routes:
        """Change the routes, and wait until Envoy has taken them."""
        routes = replace(self.folder.read_routes(), **changes)
        self.folder.change_routes(lambda there: routes, fence=routes.generation)
        self.admin.wait_applied(routes, 20)
        return routes

    def counter(self, name: str) -> int:
        return self.admin.stats(f"^{re.escape(name)}$").get(name, 0)

    def lines(self, count: int, *, since: int = 0, upstream: bool = False) -> list[dict[str, Any]]:
        """The lines of the access log (of `upstream.jsonl`) after the first `since`, once there are so many more."""
        path = self.folder.upstream_log if upstream else self.folder.access_log
        wait_until(lambda: path.exists() and len(path.read_bytes().splitlines()) >= since + count)
        return [json.loads(line) for line in path.read_bytes().splitlines()[since:]]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str
    whole: bool

    @property
    def name(self) -> str:
        """The engine that answered."""
        return str(json.loads(self.body)["name"])


def request(
    port: int, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        said = {key.lower(): value for key, value in response.getheaders()}
        try:
            return Answer(response.status, said, response.read().decode(), True)
        except http.client.IncompleteRead as error:
            return Answer(response.status, said, error.partial.decode(), False)
    finally:
        connection.close()


@contextmanager
def running(folder: Path) -> Iterator[Gateway]:
    """Envoy in a rendered folder, as `ferry gateway run` starts it, once it is ready."""
    place = GatewayFolder(folder)
    arguments = [str(find_envoy()), *ARGUMENTS, "--concurrency", "1"]
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            gateway = Gateway(place, process)
            wait_until(lambda: process.poll() is not None or gateway.admin.ready())
            assert process.poll() is None, place.envoy_log.read_text()
            yield gateway
        finally:
            process.terminate()


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def addresses(authority: Authority, *, local: int, cloud: int, cloud_host: str = "127.0.0.1") -> Addresses:
    """Of a gateway on free ports between these two."""
    gateway_port, admin_port = free_ports(2)
    return Addresses(
        gateway_port=gateway_port,
        admin_port=admin_port,
        engine_port=local,
        cloud_host=cloud_host,
        cloud_port=cloud,
        ca_file=str(authority.file),
    )


@dataclass
class Site:
    """A gateway between two engines."""

    gateway: Gateway
    local: Backend
    cloud: Backend
    routes: Routes
    """As rendered."""
    seen: tuple[int, int] = (0, 0)

    def lines(self, count: int) -> list[dict[str, Any]]:
        """The lines of the access log of this test."""
        return self.gateway.lines(count, since=self.seen[0])

    def upstream(self, count: int) -> list[dict[str, Any]]:
        return self.gateway.lines(count, since=self.seen[1], upstream=True)
