from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from ferry.assess import assess
from ferry.assess.prometheus import engine_metrics
from ferry.assess.prometheus_server import ask
from ferry.errors import InvalidField, UnreadableInput

Answer = Callable[[BaseHTTPRequestHandler], tuple[int, str, dict[str, str]]]
SECRET = "s3cr3t-token"


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server on the loopback that answers every GET as told."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, headers = answer(self)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def vector(*series: tuple[dict[str, str], str]) -> str:
    result = [{"metric": labels, "value": [1795479435.4, value]} for labels, value in series]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def prometheus(seen: list[tuple[str, str | None]]) -> Answer:
    """A small Prometheus: TTFT and cache use of one model, nothing else."""

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        promql = parse_qs(urlsplit(request.path).query)["query"][0]
        seen.append((urlsplit(request.path).path, request.headers["Authorization"]))
        name = re.search(r"vllm:\w+", promql)[0]
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
        return 200, answers.get(name, vector()), {}

    return answer


def refusal(url: str, token_env: str | None = None) -> str:
    with pytest.raises(UnreadableInput) as refused:
        ask(url, token_env, "vllm", timeout_s=5)
    assert "\n" not in str(refused.value)
    assert SECRET not in str(refused.value)
    return str(refused.value).removeprefix(f"{url}: ")


def test_a_live_server_gives_the_same_figures_as_a_saved_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROM_TOKEN", SECRET)
    seen: list[tuple[str, str | None]] = []
    with serving(prometheus(seen)) as url:
        samples = ask(f"{url}/prom", "PROM_TOKEN", "vllm")
        metrics = engine_metrics(samples, engine="vllm", source=url).metrics
    assert metrics.ttft_ms.mean.value == 200.0
    assert metrics.ttft_ms.p99.value == 492.0
    assert metrics.latency_ms.p99.basis == "unknown"
    assert (metrics.running.value, metrics.waiting.value, metrics.kv_cache_use.value) == (2.5, None, 0.125)
    assert set(seen) == {("/prom/api/v1/query", f"Bearer {SECRET}")}
    assert SECRET not in metrics.model_dump_json()


def test_a_site_with_a_live_server_is_assessed_from_it(change_site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROM_TOKEN", SECRET)
    with serving(prometheus([])) as url:

        def edit(site) -> None:
            del site["serving"][0]["metrics"]
            site["serving"][0]["prometheus"] = {"url": url, "token_env": "PROM_TOKEN"}

        made = assess(change_site(edit))
    metrics = made.serving[0].metrics
    assert metrics is not None
    assert (metrics.source, metrics.ttft_ms.p99.value) == (url, 492.0)
    assert metrics.running.source == f"{url}: vllm:num_requests_running, mean of the last 1d"
    assert SECRET not in made.model_dump_json()


def test_without_a_token_none_is_sent() -> None:
    seen: list[tuple[str, str | None]] = []
    with serving(prometheus(seen)) as url:
        ask(url, None, "vllm")
    assert {authorization for _, authorization in seen} == {None}


def test_a_token_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROM_TOKEN", raising=False)
    with pytest.raises(InvalidField, match="the environment variable PROM_TOKEN is not set"):
        ask("http://127.0.0.1:1", "PROM_TOKEN", "vllm")


@pytest.mark.parametrize("token", [f"{SECRET}\r\nX-Evil: 1", f"{SECRET} x", f"{SECRET}ü"])
def test_a_token_that_is_none_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("PROM_TOKEN", token)
    with pytest.raises(InvalidField) as refused:
        ask("http://127.0.0.1:1", "PROM_TOKEN", "vllm")
    assert SECRET not in str(refused.value)


def test_a_refused_token_is_said_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROM_TOKEN", SECRET)
    with serving(lambda _: (401, "no", {})) as url:
        assert refusal(url, "PROM_TOKEN") == "Prometheus answers 401: it refuses the token in PROM_TOKEN"
        assert refusal(url) == "Prometheus answers 401: it wants a token: name its variable as token_env"


def test_a_redirect_is_not_followed_because_it_would_carry_the_token_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROM_TOKEN", SECRET)
    elsewhere: list[str] = []

    def thief(request: BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        elsewhere.append(request.path)
        return 200, vector(), {}

    with serving(thief) as other, serving(lambda _: (302, "", {"Location": other})) as url:
        assert refusal(url, "PROM_TOKEN").startswith(f"answers 302 and points to {other}")
    assert elsewhere == []


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, "<html>", "answers 200, but not as a Prometheus server"),
        (200, "[]", "answers 200, but not as a Prometheus server"),
        (200, '{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}', "expected a vector, got scalar"),
        (200, '{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}', "not as a Prometheus"),
        (
            422,
            '{"status":"error","errorType":"execution","error":"query timed out\\nin expression"}',
            "Prometheus answers 422: query timed out in expression",
        ),
        (502, "Bad Gateway", "answers 502, but not as a Prometheus server"),
    ],
)
def test_any_other_answer_is_refused_in_one_line(status: int, body: str, says: str) -> None:
    with serving(lambda _: (status, body, {})) as url:
        assert says in refusal(url)


def test_nobody_listening_is_said_with_the_way_out() -> None:
    message = refusal("http://127.0.0.1:1")
    assert message.startswith("Prometheus does not answer: ")
    assert message.endswith("save the engine's /metrics to a file and name it under metrics")


def test_a_server_that_hangs_is_given_up() -> None:
    def hang(_: BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        time.sleep(1)
        return 200, vector(), {}

    with serving(hang) as url, pytest.raises(UnreadableInput, match=r"did not answer within 0\.2 s"):
        ask(url, None, "vllm", timeout_s=0.2)


def test_a_port_out_of_range_is_a_wrong_field() -> None:
    with pytest.raises(InvalidField, match="is not an address"):
        ask("http://127.0.0.1:99999", None, "vllm")
