from __future__ import annotations

import contextlib
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ferry.assess.prometheus import Access, ask_cluster, ask_engine, engine_metrics
from ferry.assess.prometheus.server import Client
from ferry.errors import InvalidField, UnreadableInput

Answer = Callable[[BaseHTTPRequestHandler], tuple[int, str, dict[str, str]]]
SECRET = "s3cr3t-token"


@contextmanager
def serving(answer: Answer, certificate: Path | None = None) -> Iterator[str]:
    """A server on the loopback that answers every GET as told, over TLS where it has a certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, headers = answer(self)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            with contextlib.suppress(OSError):  # the client may have had enough
                self.end_headers()
                self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def vector(*series: tuple[dict[str, str], str]) -> str:
    result = [{"metric": labels, "value": [1795479435.4, value]} for labels, value in series]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def names(*given: str) -> str:
    return json.dumps({"status": "success", "data": list(given)})


def prometheus(seen: list[tuple[str, str | None]]) -> Answer:
    """A small Prometheus: TTFT and cache use of one model, nothing else; hours are not kept."""
    model = {"model_name": "m"}
    answers = {
        "vllm:time_to_first_token_seconds_bucket": vector(
            (model | {"le": "0.1"}, "500"), (model | {"le": "0.5"}, "1000"), (model | {"le": "+Inf"}, "1000")
        ),
        "vllm:time_to_first_token_seconds_sum": vector((model, "200")),
        "vllm:time_to_first_token_seconds_count": vector((model, "1000")),
        "vllm:num_requests_running": vector((model, "2.5")),
        "vllm:num_requests_waiting": vector((model, "NaN")),
        "vllm:kv_cache_usage_perc": vector((model, "0.125")),
    }

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        path = urlsplit(request.path)
        seen.append((path.path, request.headers["Authorization"]))
        if path.path.endswith("/label/__name__/values"):
            return 200, names(*answers), {}
        if path.path.endswith("/query_range"):
            return 200, '{"status":"success","data":{"resultType":"matrix","result":[]}}', {}
        found = re.search(r"vllm:\w+", parse_qs(path.query)["query"][0])
        return 200, answers[found[0]] if found else vector(), {}

    return answer


def refusal(access: Access, environment: dict[str, str] | None = None) -> str:
    with (
        pytest.raises(UnreadableInput) as refused,
        Client(access, environment or {}, timeout_s=5) as client,
    ):
        client.query("up", 0)
    assert "\n" not in str(refused.value)
    assert SECRET not in str(refused.value)
    return str(refused.value).removeprefix(f"{access.url}: ")


def test_a_live_server_gives_the_same_figures_as_a_saved_page() -> None:
    seen: list[tuple[str, str | None]] = []
    with serving(prometheus(seen)) as url:
        access = Access(f"{url}/prom", token_env="PROM_TOKEN")
        page = ask_engine(access, "vllm", now_s=1795479435.0, environment={"PROM_TOKEN": SECRET})
        metrics = engine_metrics([page], engine="vllm", source=url).metrics
    assert metrics.ttft_ms.mean.value == 200.0
    assert metrics.ttft_ms.p99.value == 492.0
    assert metrics.latency_ms.p99.basis == "unknown"
    assert (metrics.running.value, metrics.waiting.value, metrics.kv_cache_use.value) == (2.5, None, 0.125)
    assert metrics.window == "2026-11-23T00:17:15Z to 2026-11-24T00:17:15Z"
    assert {path for path, _ in seen} == {
        "/prom/api/v1/query", "/prom/api/v1/query_range", "/prom/api/v1/label/__name__/values",
    }  # fmt: skip
    assert {authorization for _, authorization in seen} == {f"Bearer {SECRET}"}
    assert SECRET not in metrics.model_dump_json()
    assert [finding.code for finding in page.findings] == ["prometheus-window-not-covered"]


def test_the_query_and_its_time_are_the_evidence() -> None:
    with serving(prometheus([])) as url:
        page = ask_engine(Access(url), "vllm", now_s=1795479435.0, environment={})
        metrics = engine_metrics([page], engine="vllm", source=url).metrics
    assert metrics.ttft_ms.p99.source == (
        "query sum by (le, model_name) (increase(vllm:time_to_first_token_seconds_bucket[1d])) at 2026-11-24T00:17:15Z"
        ": vllm:time_to_first_token_seconds, 2026-11-23T00:17:15Z to 2026-11-24T00:17:15Z"
    )


def test_a_user_and_a_password_are_sent_as_basic_authentication() -> None:
    seen: list[tuple[str, str | None]] = []
    with serving(prometheus(seen)) as url:
        access = Access(url, username_env="PROM_USER", password_env="PROM_PASSWORD")
        with Client(access, {"PROM_USER": "ferry", "PROM_PASSWORD": SECRET}) as client:
            client.names(0, 1)
    assert seen == [("/api/v1/label/__name__/values", "Basic ZmVycnk6czNjcjN0LXRva2Vu")]


def test_without_a_token_none_is_sent() -> None:
    seen: list[tuple[str, str | None]] = []
    with serving(prometheus(seen)) as url:
        ask_engine(Access(url), "vllm", environment={})
    assert {authorization for _, authorization in seen} == {None}


@pytest.mark.parametrize(
    ("access", "environment", "why"),
    [
        (Access("http://a", token_env="T"), {}, "token_env: the environment variable T is not set"),
        (Access("http://a", token_env="T"), {"T": f"{SECRET}\r\nX-Evil: 1"}, "has characters that cannot be sent"),
        (Access("http://a", token_env="T"), {"T": f"{SECRET} x"}, "has a space, which no token has"),
        (Access("http://a", token_env="T"), {"T": f"{SECRET}ü"}, "has characters that cannot be sent"),
        (
            Access("http://a", username_env="U", password_env="P"),
            {"U": "x"},
            "password_env: the environment variable P",
        ),
        (Access("http://a", username_env="U", password_env="P"), {"U": "x:y", "P": SECRET}, "U has a colon"),
        (Access("http://127.0.0.1:99999"), {}, "is not an address"),
        (Access("https://a", ca_file=Path("/nowhere.pem")), {}, "ca_file: /nowhere.pem is no file of certificates"),
    ],
)
def test_a_secret_or_an_address_that_is_none_is_refused_and_not_shown(
    access: Access, environment: dict[str, str], why: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        Client(access, environment)
    assert why in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_refused_secret_is_said_and_not_shown() -> None:
    environment = {"T": SECRET, "U": "ferry", "P": SECRET}
    with serving(lambda _: (401, "no", {})) as url:
        said = [
            refusal(access, environment)
            for access in (Access(url, token_env="T"), Access(url, username_env="U", password_env="P"), Access(url))
        ]
    assert said == [
        "Prometheus answers 401: it refuses the token in T",
        "Prometheus answers 401: it refuses the user and password in U and P",
        "Prometheus answers 401: it wants a token or a password: name the variables as token_env, or username_env and "
        "password_env",
    ]


def test_a_redirect_is_not_followed_because_it_would_carry_the_token_away() -> None:
    elsewhere: list[str] = []

    def thief(request: BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        elsewhere.append(request.path)
        return 200, vector(), {}

    with serving(thief) as other, serving(lambda _: (302, "", {"Location": other})) as url:
        said = refusal(Access(url, token_env="T"), {"T": SECRET})
    assert said.startswith(f"answers 302 and points to {other}")
    assert elsewhere == []


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, "<html>", "answers, but not as a Prometheus server"),
        (200, "[]", "answers, but not as a Prometheus server: answers 200 without a status"),
        (200, '{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}', "expected a vector, got scalar"),
        (200, '{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}', "a series has no value"),
        (200, '{"status":"success","data":["x"]}', "expected a vector, got list"),
        (
            422,
            '{"status":"error","errorType":"execution","error":"query timed out\\nin expression"}',
            "Prometheus answers 422, execution: query timed out in expression",
        ),
        (502, "Bad Gateway", "answers 502: overloaded, or what stands before it is"),
        (404, "404 page not found", "answers, but not as a Prometheus server: answers 404"),
    ],
)
def test_any_other_answer_is_refused_in_one_line(status: int, body: str, says: str) -> None:
    with serving(lambda _: (status, body, {})) as url:
        assert says in refusal(Access(url))


def test_nobody_listening_is_said_with_the_way_out() -> None:
    message = refusal(Access("http://127.0.0.1:1"))
    assert message.startswith("Prometheus does not answer: ")
    assert message.endswith("save the engine's /metrics to a file and name it under metrics")


def test_a_server_that_hangs_is_given_up() -> None:
    def hang(_: BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        time.sleep(1)
        return 200, vector(), {}

    with (
        serving(hang) as url,
        pytest.raises(UnreadableInput, match=r"did not answer within 0\.2 s"),
        Client(Access(url), {}, timeout_s=0.2) as client,
    ):
        client.query("up", 0)


def test_a_server_that_drips_is_given_up() -> None:
    def drip(request: BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(20):
                request.wfile.write(b" ")
                time.sleep(0.1)
        return 200, "", {}

    with (
        serving(drip) as url,
        pytest.raises(UnreadableInput, match=r"did not answer within 0\.5 s"),
        Client(Access(url), {}, timeout_s=0.5) as client,
    ):
        client.query("up", 0)


def test_a_long_range_is_asked_in_parts_of_at_most_11000_points() -> None:
    asked: list[tuple[float, float, float]] = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        query = parse_qs(urlsplit(request.path).query)
        start, end, step = (float(query[key][0]) for key in ("start", "end", "step"))
        asked.append((start, end, step))
        series = {"metric": {"__name__": "x"}, "values": [[start, "1"], [end, "2"]]}
        return 200, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": [series]}}), {}

    with serving(answer) as url, Client(Access(url), {}) as client:
        (series,) = client.query_range("x", 0, 60 * 25_000, 60)
    assert asked == [(0, 659_940, 60), (660_000, 1_319_940, 60), (1_320_000, 1_500_000, 60)]
    assert all((end - start) / step + 1 <= 11_000 for start, end, step in asked)
    assert [time_s for time_s, _ in series.points] == [0, 659_940, 660_000, 1_319_940, 1_320_000, 1_500_000]


@pytest.mark.parametrize(
    ("engine", "held", "why"),
    [
        ("vllm", ["sglang:num_running_reqs"], "it holds those of sglang: correct serving.engine"),
        ("vllm", ["up"], "holds no metrics of vllm in the last 24 h; is it scraped?"),
        (None, ["up"], "holds no metrics of GPUs or servers in the last 24 h"),
    ],
)
def test_a_server_without_the_metrics_says_what_it_has(engine: str | None, held: list[str], why: str) -> None:
    with serving(lambda _: (200, names(*held), {})) as url, pytest.raises(UnreadableInput) as refused:
        ask_engine(Access(url), engine, environment={}) if engine else ask_cluster(Access(url), environment={})
    assert why in str(refused.value)


def test_an_https_server_is_trusted_by_the_ca_file_that_is_named(tmp_path: Path) -> None:
    ca_file = _certificate(tmp_path)
    with serving(lambda _: (200, names("up"), {}), ca_file) as url:
        with Client(Access(url, ca_file=ca_file), {}) as client:
            assert client.names(0, 1) == ["up"]
        assert "its certificate is not trusted" in refusal(Access(url))


def _certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    path = folder / "server.pem"
    path.write_bytes(
        made.public_bytes(encoding) + key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_password)
    )
    return path
