"""The stub engine as a process, asked over HTTP."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ferry.errors import InvalidField, RehearsalError
from ferry.rehearsal import certificate
from ferry.rehearsal.stub_engine import StubEngine
from ferry.traffic.gateway.routes import MIRRORED_HEADER
from templates.engine_metrics import ENGINES
from tests.gateways import wait_until

CHAT = {"model": "mini", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
PROMPT = {"model": "mini", "prompt": "hello", "max_tokens": 4}


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes
    cut: bool

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[Any]:
        data = [event.removeprefix("data: ") for event in self.body.decode().split("\n\n") if event]
        return [event if event == "[DONE]" else json.loads(event) for event in data]


def ask(
    engine: StubEngine, body: object = CHAT, path: str = "/v1/chat/completions", *, method: str = "POST", **headers: str
) -> Answered:
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=10)
    try:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, raw, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        try:
            read, cut = response.read(), False
        except (http.client.IncompleteRead, ConnectionResetError):
            read, cut = b"", True
        return Answered(response.status, {k.lower(): v for k, v in response.getheaders()}, read, cut)
    finally:
        connection.close()


@pytest.fixture(scope="module")
def running() -> Iterator[StubEngine]:
    with StubEngine("home", ttft_ms=1, tpot_ms=0.1) as engine:
        yield engine


@pytest.fixture
def engine(running: StubEngine) -> StubEngine:
    running.recover()
    running.forget()
    return running


def test_a_whole_answer_has_the_tokens_that_were_asked_for_and_counts_them(engine: StubEngine) -> None:
    answer = ask(engine).json()
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "mini"
    assert answer["choices"][0]["message"]["content"] == "home-0 home-1 home-2 home-3 "
    assert answer["usage"]["completion_tokens"] == 4
    text = ask(engine, PROMPT, "/v1/completions").json()
    assert text["object"] == "text_completion"
    assert text["choices"][0]["text"] == "home-0 home-1 home-2 home-3 "


@pytest.mark.parametrize(("asked", "path"), [(CHAT, "/v1/chat/completions"), (PROMPT, "/v1/completions")])
def test_a_stream_has_an_event_for_each_token_then_the_usage_then_done(
    engine: StubEngine, asked: dict[str, object], path: str
) -> None:
    answer = ask(engine, asked | {"stream": True}, path)
    *tokens, usage, done = answer.events()
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    texts = [event["choices"][0].get("text") or event["choices"][0]["delta"]["content"] for event in tokens]
    assert texts == ["home-0 ", "home-1 ", "home-2 ", "home-3 "]
    assert [event["choices"][0]["finish_reason"] for event in tokens] == [None, None, None, "length"]
    assert (usage["choices"], usage["usage"]["completion_tokens"], done) == ([], 4, "[DONE]")


def test_a_stream_ends_without_its_usage_where_the_client_wants_none(engine: StubEngine) -> None:
    asked = CHAT | {"stream": True, "stream_options": {"include_usage": False}}
    assert ask(engine, asked).events()[-2]["choices"] != []


def test_what_is_no_request_is_refused_and_the_connection_serves_the_next(engine: StubEngine) -> None:
    assert ask(engine, b"{").status == 400
    assert ask(engine, {"model": "mini"}).status == 400
    assert (
        ask(engine, CHAT | {"max_tokens": 0.5}).json()["error"]["message"] == "max_tokens is 0.5; allowed: 1 to 65536"
    )
    assert ask(engine, path="/v1/embeddings").status == 404
    assert ask(engine, method="PUT").status == 405
    assert engine.seen().requests == 0


def test_faults_are_switched_on_and_off_while_it_runs(engine: StubEngine) -> None:
    engine.behave(error_rate=1, error_status=502)
    assert ask(engine).status == 502
    engine.behave(error_rate=0)
    assert ask(engine).status == 200
    engine.behave(cold=True)
    assert (ask(engine).status, ask(engine, path="/health", method="GET").status) == (503, 503)
    assert ask(engine).headers["retry-after"] == "1"
    engine.recover()
    assert ask(engine, path="/health", method="GET").status == 200


def test_a_cut_answer_breaks_off_with_status_200_and_a_stream_may_end_early_unnoticed_by_http(
    engine: StubEngine,
) -> None:
    engine.behave(truncate_rate=1)
    for stream in (False, True):
        answer = ask(engine, CHAT | {"stream": stream})
        assert (answer.status, answer.cut) == (200, True)
    engine.behave(truncated_by="end")
    answer = ask(engine, CHAT | {"stream": True})
    assert not answer.cut
    assert len(answer.events()) == 2
    assert engine.seen().cut == 3


def test_a_hung_request_gets_no_byte_and_is_counted_when_its_client_leaves(engine: StubEngine) -> None:
    engine.behave(hang_rate=1)
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=0.05)
    connection.request("POST", "/v1/chat/completions", json.dumps(CHAT))
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    engine.recover()
    ask(engine)
    wait_until(lambda: engine.seen().hung > 0)
    seen = engine.seen()
    assert (seen.requests, seen.answered, seen.hung) == (2, 1, 1)


def test_refused_connections_are_taken_again_on_the_same_port(engine: StubEngine) -> None:
    port = engine.port
    engine.behave(refuse=True)
    with pytest.raises(ConnectionRefusedError):
        ask(engine)
    engine.behave(refuse=False)
    assert (ask(engine).status, engine.port) == (200, port)


def test_requests_that_come_twice_are_seen(engine: StubEngine) -> None:
    for request_id in ("a", "b", "a"):
        ask(engine, x_request_id=request_id)
    seen = engine.seen()
    assert (seen.requests, seen.distinct, seen.repeated, seen.answered) == (3, 2, {"a": 2}, 3)
    engine.forget()
    assert engine.seen().requests == 0


def test_the_gateways_copy_of_a_request_is_no_repetition(engine: StubEngine) -> None:
    for headers in ({}, {MIRRORED_HEADER: "1"}):
        ask(engine, x_request_id="a", **headers)
    assert (engine.seen().distinct, engine.seen().repeated) == (2, {})


def test_the_metrics_have_the_names_that_nodes_and_alarms_read(engine: StubEngine) -> None:
    ask(engine)
    families = {
        family.name: family
        for family in text_string_to_metric_families(ask(engine, path="/metrics", method="GET").body.decode())
    }
    names = ENGINES["vllm"]
    assert {*names.gauges, names.ttft_seconds, names.latency_seconds} <= set(families)
    counts = {sample.name: sample.value for sample in families[names.ttft_seconds].samples}
    assert counts[f"{names.ttft_seconds}_count"] >= 1


def test_it_names_its_model(engine: StubEngine) -> None:
    assert [model["id"] for model in ask(engine, path="/v1/models", method="GET").json()["data"]] == ["stub-model"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"error_rate": 1.5}, "error_rate is 1.5; allowed: a share, 0 to 1"),
        ({"error_rate": 0.6, "hang_rate": 0.6}, "error_rate + truncate_rate + hang_rate is 1.2; allowed: at most 1"),
        ({"ttft_ms": -1}, "ttft_ms is -1; allowed: 0 and more"),
        ({"cold": 1}, "cold is 1; allowed: bool"),
        ({"speed": 1}, "unknown: speed; allowed: ttft_ms, "),
    ],
)
def test_a_behaviour_that_cannot_be_is_refused_and_the_old_one_holds(
    engine: StubEngine, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidField, match=re.escape(message)):
        engine.behave(**changes)
    assert ask(engine).status == 200


def test_the_journal_survives_a_kill_and_shows_what_was_in_flight(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with StubEngine("home", ttft_ms=1, journal=journal) as engine:
        ask(engine, x_request_id="whole")
        engine.behave(hang_rate=1)
        connection = http.client.HTTPConnection("127.0.0.1", engine.port)
        connection.request("POST", "/v1/chat/completions", json.dumps(CHAT), {"x-request-id": "in flight"})
        wait_until(lambda: "in flight" in journal.read_text())
        port = engine.port
        engine.kill()
        connection.close()
        assert journal.read_text().splitlines() == ["whole\tarrived", "whole\tanswered", "in flight\tarrived"]
        with pytest.raises(ConnectionRefusedError):
            ask(engine)
        engine.start()
        assert (ask(engine).status, engine.port) == (200, port)


def test_it_answers_https_where_it_is_given_a_certificate(tmp_path: Path) -> None:
    authority, server = certificate.make("llm.example", tmp_path)
    trusting = ssl.create_default_context(cafile=authority)
    with (
        StubEngine("cloud", ttft_ms=1, tls=server) as engine,
        socket.create_connection(("127.0.0.1", engine.port), timeout=20) as plain,
        trusting.wrap_socket(plain, server_hostname="llm.example") as secure,
    ):
        secure.sendall(b"GET /health HTTP/1.1\r\nhost: llm.example\r\n\r\n")
        assert secure.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
        engine.behave(refuse=True)
        assert secure.recv(1000) == b""


def test_an_engine_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RehearsalError, match="the stub engine cloud did not start: FileNotFoundError"):
        StubEngine("cloud", tls=tmp_path / "missing.pem")


def test_it_ends_when_whoever_started_it_is_gone() -> None:
    with StubEngine() as engine:
        port = engine.port
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass
