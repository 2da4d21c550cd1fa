"""A rendered gateway, run by the real Envoy, in front of an engine that answers at once."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from joserfc import jws
from joserfc.jwk import Key as Jwk

from ferry.render import Addresses, render
from ferry.traffic.gateway.command import ARGUMENTS, find_envoy
from ferry.traffic.tokens import TokenFolder
from ferry.traffic.tokens.issue import issue
from ferry.traffic.tokens.keys import KeyRing
from ferry.traffic.tokens.rotation import rotate
from ferry.traffic.tokens.signing import load
from tests.plans import empty_project, write_plan

ISSUER, AUDIENCE = "https://tokens.example/", "inference"
SETTINGS = {
    "issuer": ISSUER,
    "audience": AUDIENCE,
    "propagation_seconds": 0,
    "tenants": {"y": {"requests_per_minute": 30, "burst": 2}},  # YAML 1.1 reads y as true
}


@dataclass
class Engine:
    """Notes the headers of each request. `GET /v1/stream` sends one event a `tick`, until it is told to end."""

    port: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    tick: threading.Event = field(default_factory=threading.Event)
    end: threading.Event = field(default_factory=threading.Event)

    def serve(self) -> ThreadingHTTPServer:
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer is one segment

            def do_GET(self) -> None:
                if self.path == "/v1/stream":
                    self.stream()
                    return
                if self.path != "/health":
                    engine.requests.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def stream(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                while not engine.end.is_set():
                    self.chunk(b"data: {}\n\n")
                    engine.tick.wait(10)
                    engine.tick.clear()
                self.chunk(b"data: [DONE]\n\n")
                self.chunk(b"")

            def chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server


@dataclass
class Answer:
    status: int
    body: str
    headers: dict[str, str]


@dataclass
class Gateway:
    """A running Envoy, and the tokens of its folder."""

    folder: TokenFolder
    engine: Engine
    issued: list[str] = field(default_factory=list)
    """Every token that a test has seen: none of them may stand in a log."""
    _connection: http.client.HTTPConnection | None = None

    def ask(self, *headers: tuple[str, str], path: str = "/v1/completions") -> Answer:
        """One request over a connection that is kept."""
        if self._connection is None:
            host, port = self.folder.gateway.address()
            self._connection = http.client.HTTPConnection(host, port, timeout=20)
        connection = self._connection
        connection.putrequest("GET", path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        answer = Answer(response.status, response.read().decode(), {k.lower(): v for k, v in response.getheaders()})
        if response.will_close:
            self.hang_up()
        return answer

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def with_token(self, token: str, path: str = "/v1/completions") -> Answer:
        return self.ask(("Authorization", f"Bearer {token}"), path=path)

    def status(self, token: str, path: str = "/v1/completions") -> int:
        return self.with_token(token, path).status

    def issue(self, tenant: str = "acme", subject: str = "bob", seconds_ago: float = 0, **options: Any) -> str:
        """A token as `ferry token issue` makes it."""
        now = datetime.now(UTC) - timedelta(seconds=seconds_ago)
        token = issue(self.folder, tenant=tenant, subject=subject, now=now, **options).token
        self.issued.append(token)
        return token

    def end_key(self) -> None:
        """The key that signs is in wrong hands."""
        stolen = KeyRing.read(self.folder.keys_file).current.kid
        rotate(self.folder, now=lambda: datetime.now(UTC), compromised=stolen)

    @property
    def key(self) -> Jwk:
        """The private key that signs now."""
        current = KeyRing.read(self.folder.keys_file).current
        return load(self.folder.private_key(current.kid), current.algorithm)

    def forge(self, *, key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that differs from a good one in what is named; None takes a claim or a header away."""
        now = int(time.time())
        good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "bob", "jti": f"jti-{len(self.issued)}", "iat": now, "nbf": now}
        good |= {"exp": now + 900, "tenant": "acme", "scope": "inference"}
        kid = KeyRing.read(self.folder.keys_file).current.kid
        said = {"alg": "ES256", "typ": "JWT", "kid": kid} | (header or {})
        token = jws.serialize_compact(
            {name: value for name, value in said.items() if value is not None},
            json.dumps({name: value for name, value in (good | claims).items() if value is not None}),
            key or self.key,
            [str(said["alg"])],
            registry=jws.JWSRegistry(algorithms=[str(said["alg"])], strict_check_header=False),
        )
        self.issued.append(token)
        return token

    def wait(self, holds: Callable[[], bool]) -> float:
        """Seconds until something holds."""
        start = time.monotonic()
        while not holds():
            assert time.monotonic() < start + 20, "it did not happen in time"
            time.sleep(0.01)
        return time.monotonic() - start

    def settle(self) -> None:
        """Publish, and wait until Envoy runs what is published."""
        before = self._updates()
        if self.folder.publish(datetime.now(UTC)):
            self.wait(lambda: self._updates() > before)

    def _updates(self) -> int:
        host, port = self.folder.gateway.admin_url().removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request("GET", "/stats?format=json&filter=extension_config_discovery.*config_reload$")
        stats = json.loads(connection.getresponse().read())["stats"]
        connection.close()
        return sum(int(stat["value"]) for stat in stats)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One Envoy for all tests of a module."""
    tmp_path = tmp_path_factory.mktemp("gateway")
    with ExitStack() as stop:
        engine = Engine()
        server = engine.serve()
        stop.callback(server.server_close)
        stop.callback(server.shutdown)
        gateway_port, admin_port = free_ports(2)
        project = empty_project(tmp_path / "project")
        addresses = Addresses(gateway_port=gateway_port, admin_port=admin_port, engine_port=engine.port)
        render(write_plan(tmp_path / "plan.yaml"), project=project, addresses=addresses)
        path = project / "build" / "qa" / "local" / "gateway"
        (path / "tokens.yaml").write_text(yaml.safe_dump(SETTINGS))
        gateway = Gateway(TokenFolder.at(path), engine)
        rotate(gateway.folder, now=lambda: datetime.now(UTC))
        process = subprocess.Popen([find_envoy(), *ARGUMENTS, "--concurrency", "1"], cwd=path)
        stop.callback(process.wait)
        stop.callback(process.terminate)
        stop.callback(gateway.hang_up)
        gateway.wait(lambda: process.poll() is not None or gateway.folder.gateway.admin().ready())
        assert process.poll() is None, (path / "logs" / "envoy.log").read_text()
        yield gateway


@pytest.fixture
def gateway(running: Gateway) -> Iterator[Gateway]:
    """The gateway, with nothing revoked and the settings as they were."""
    settings, revoked = running.folder.gateway.path / "tokens.yaml", running.folder.revoked_file
    running.engine.requests.clear()
    yield running
    settings.write_text(yaml.safe_dump(SETTINGS))
    revoked.unlink(missing_ok=True)
    running.settle()


def log_lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines: Envoy may be writing the next one. Text would be split at U+2028, too, which a subject may hold."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
