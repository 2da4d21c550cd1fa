from __future__ import annotations

import json
from typing import Any

import pytest

from ferry.assess.prometheus import engine_metrics
from ferry.assess.prometheus.response import parse
from ferry.assess.prometheus.series import Page, Point
from ferry.errors import UnreadableInput

RUNNING = "vllm:num_requests_running"
TTFT = "vllm:time_to_first_token_seconds"
T0 = 1700006400.0
"""Midnight UTC."""


def answer(result_type: str, result: Any, **more: Any) -> str:
    return json.dumps({"status": "success", "data": {"resultType": result_type, "result": result}, **more})


def vector(name: str, value: str, **labels: str) -> dict[str, Any]:
    return {"metric": {"__name__": name, **labels}, "value": [T0, value]}


def matrix(name: str, values: list[tuple[float, str]], **labels: str) -> dict[str, Any]:
    return {"metric": {"__name__": name, **labels}, "values": [list(pair) for pair in values]}


def reasons(text: str) -> str:
    with pytest.raises(UnreadableInput) as refused:
        parse(text, "answer.json")
    assert "\n" not in str(refused.value)
    return str(refused.value).removeprefix("answer.json: ")


def read(text: str) -> Page:
    return parse(text, "answer.json")


def test_an_instant_vector_is_read() -> None:
    (series,) = read(answer("vector", [vector(RUNNING, "3", model_name="m")])).series
    assert (series.name, series.labels, series.points) == (RUNNING, {"model_name": "m"}, [Point(T0, 3.0)])


def test_several_answers_in_one_file_are_read_together() -> None:
    text = (
        answer("vector", [vector(RUNNING, "3")]) + "\n" + answer("vector", [vector("vllm:num_requests_waiting", "1")])
    )
    assert [one.name for one in read(text).series] == [RUNNING, "vllm:num_requests_waiting"]


def test_the_mean_of_a_gauge_over_a_range_adds_instances_at_each_time() -> None:
    one = matrix(RUNNING, [(T0, "2"), (T0 + 60, "4"), (T0 + 120, "6")], model_name="m", instance="a")
    two = matrix(RUNNING, [(T0 + 121, "10")], model_name="m", instance="b")
    metrics = engine_metrics([read(answer("matrix", [one, two]))], engine="vllm", source="s").metrics
    assert metrics.running.value == pytest.approx((2 + 4 + 16) / 3)
    assert metrics.window == "2023-11-15T00:00:00Z to 2023-11-15T00:02:01Z"


def test_counters_over_a_range_give_rates_and_a_restart_is_no_loss() -> None:
    counted = matrix("vllm:request_success_total", [(T0, "100"), (T0 + 60, "160"), (T0 + 120, "30")], model_name="m")
    metrics = engine_metrics([read(answer("matrix", [counted]))], engine="vllm", source="s").metrics
    assert metrics.requests_per_s is not None
    assert metrics.requests_per_s.value == pytest.approx(90 / 120)


def test_quantiles_over_a_range_are_of_what_was_added_within_it() -> None:
    buckets = [
        matrix(f"{TTFT}_bucket", [(T0, first), (T0 + 60, last)], model_name="m", le=bound)
        for bound, first, last in (("0.1", "900", "900"), ("0.2", "900", "1000"), ("+Inf", "900", "1000"))
    ]
    reading = engine_metrics([read(answer("matrix", buckets))], engine="vllm", source="s")
    assert reading.metrics.ttft_ms.p50.value == pytest.approx(150.0)
    assert "metrics-since-start" not in {finding.code for finding in reading.findings}
    assert reading.metrics.by_hour["ttft_p99_ms"].values[0] == pytest.approx(199.0)


def test_a_warning_of_the_server_becomes_a_finding() -> None:
    text = answer("vector", [vector(RUNNING, "3")], warnings=["store gateway is down"])
    (finding,) = read(text).findings
    assert (finding.code, finding.seen) == ("prometheus-warns", "store gateway is down")


def test_the_nan_of_an_idle_server_is_dropped_and_said() -> None:
    page = read(answer("vector", [vector(RUNNING, "3"), vector("vllm:num_requests_waiting", "NaN")]))
    assert [one.name for one in page.series] == [RUNNING]
    assert [(finding.code, finding.seen) for finding in page.findings] == [
        ("metrics-nan", "1 series is NaN throughout")
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"status":"error","errorType":"bad_data","error":"parse\\nerror"}', "Prometheus (bad_data): parse error"),
        (answer("vector", []), "the answer is empty: the query matched nothing"),
        (answer("matrix", [matrix(RUNNING, [(T0, "NaN")])]), "all 1 series are NaN"),
        (answer("scalar", [T0, "1"]), "is a scalar, 1: a value without a name"),
        (answer("string", [T0, "x"]), "is a string, x"),
        (answer("streams", []), "is an answer of Loki"),
        (answer("vector", [{"metric": {"a": "b"}, "value": [T0, "3"]}]), "an expression (a='b', no __name__)"),
        (
            answer("matrix", [{"metric": {}, "values": [[T0, "19.95"], [T0 + 1, "19.95"]]}]),
            "it is 19.95 at every one of its 2 times, as a quantile without rate() is",
        ),
        (answer("vector", [vector("up", "1")]), "holds up, and no metric that Ferry knows"),
        ('{"status":"success","data":["up","down"]}', "is a list of 2 names (up, down, …), not values"),
        ('{"status":"success","data":[{"__name__":"up"}]}', "is a list of 1 series without values"),
        ('{"status":"success","data":{"activeTargets":[{"health":"down"},{"health":"up"}]}}', "2 scraped, 1 of them"),
        ('{"status":"success","data":{"up":[{"type":"gauge","help":""}]}}', "type and help of 1 metrics: up"),
        ('{"status":"success","data":{"groups":[]}}', "is a list of alerts or rules"),
        ('{"results":{"A":{"frames":[]}}}', "is an answer of Grafana"),
        ('{"model_type":"llama"}', "is JSON, and no answer of Prometheus: keys model_type"),
        ('{"status":"succ', "is not JSON, or is cut off"),
        ("[" * 100000, "is not JSON, or is cut off"),
        (answer("vector", [vector(RUNNING, "3x")]), "is not a time and a number"),
        (answer("vector", [vector(RUNNING, "١")]), "is not a time and a number"),
        (answer("vector", [{"metric": {"__name__": RUNNING}, "value": ["x", "3"]}]), "a value has no time"),
        (answer("vector", [{"metric": {"__name__": RUNNING}, "value": [1e300, "3"]}]), "a value has no time"),
        (answer("vector", [{"metric": {"__name__": RUNNING}, "histogram": [T0, {}]}]), "native histograms"),
        (answer("matrix", [vector(RUNNING, "3")]), "a series has no values"),
        (answer("vector", [3]), "a series has no labels"),
        (answer("vector", None), "expected a vector or a matrix"),
        (answer("table", []), "expected a vector or a matrix, got table"),
    ],
)  # fmt: skip
def test_any_other_answer_is_refused_with_the_reason(text: str, why: str) -> None:
    assert why in reasons(text)
