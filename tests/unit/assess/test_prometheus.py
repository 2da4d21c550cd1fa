from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.assess.prometheus import engine_metrics, histogram_quantile, parse
from ferry.errors import UnreadableInput


def histogram(name: str, counts: dict[str, float], total: float, labels: str = 'model_name="m"') -> str:
    lines = [f"# TYPE {name} histogram"]
    lines += [f'{name}_bucket{{{labels},le="{bound}"}} {count}' for bound, count in counts.items()]
    lines += [f"{name}_count{{{labels}}} {counts['+Inf']}", f"{name}_sum{{{labels}}} {total}"]
    return "\n".join(lines) + "\n"


TTFT = "vllm:time_to_first_token_seconds"
LATENCY = "vllm:e2e_request_latency_seconds"
PAGE = (
    histogram(TTFT, {"0.1": 500, "0.2": 900, "1.0": 1000, "+Inf": 1000}, 120.0)
    + histogram("vllm:time_per_output_token_seconds", {"0.01": 0, "0.02": 2000, "+Inf": 2000}, 30.0)
    + histogram(LATENCY, {"1.0": 0, "5.0": 1000, "+Inf": 1000}, 2500.0)
    + 'vllm:num_requests_running{model_name="m"} 3.0\n'
    + 'vllm:num_requests_waiting{model_name="m"} 0.0\n'
    + 'vllm:gpu_cache_usage_perc{model_name="m"} 0.25\n'
)


def read(text: str, served_as: tuple[str, ...] = ()):
    return engine_metrics(parse(text, "page"), engine="vllm", source="page", served_as=served_as)


def codes(text: str) -> list[str]:
    return [finding.code for finding in read(text).findings]


def test_a_page_of_the_v0_engine_is_read_with_exact_values() -> None:
    metrics = read(PAGE).metrics
    assert metrics.ttft_ms.mean.value == 120.0
    assert metrics.ttft_ms.p50.value == 100.0
    assert metrics.ttft_ms.p95.value == 600.0
    assert metrics.ttft_ms.p99.value == 920.0
    assert metrics.tpot_ms.p50.value == 15.0
    assert metrics.latency_ms.p95.value == 4800.0
    assert (metrics.running.value, metrics.waiting.value, metrics.kv_cache_use.value) == (3.0, 0.0, 0.25)
    assert metrics.ttft_ms.p99.source == "page: vllm:time_to_first_token_seconds"
    assert read(PAGE).findings == []


def test_a_page_of_the_v1_engine_is_read_by_its_own_names() -> None:
    page = PAGE.replace("vllm:time_per_output_token_seconds", "vllm:inter_token_latency_seconds")
    page = page.replace("gpu_cache_usage_perc", "kv_cache_usage_perc")
    page += histogram("vllm:request_time_per_output_token_seconds", {"0.03": 0, "0.05": 9000, "+Inf": 9000}, 1.0)
    metrics = read(page).metrics
    assert metrics.tpot_ms.p50.value == 40.0
    assert metrics.tpot_ms.p50.source == "page: vllm:request_time_per_output_token_seconds"
    assert metrics.kv_cache_use.value == 0.25


def test_a_quantile_above_the_highest_bucket_is_unknown_and_its_bound_is_told() -> None:
    page = PAGE.replace(
        'e2e_request_latency_seconds_bucket{model_name="m",le="5.0"} 1000',
        'e2e_request_latency_seconds_bucket{model_name="m",le="5.0"} 960',
    )
    reading = read(page)
    assert reading.metrics.latency_ms.p95.basis == "measured"
    assert reading.metrics.latency_ms.p99.value is None
    assert reading.metrics.latency_ms.p99.source == (
        "page: vllm:e2e_request_latency_seconds: more than 5000 ms, the highest bucket"
    )
    (finding,) = reading.findings
    assert finding.code == "metrics-beyond-last-bucket"
    assert finding.seen == "latency p99 above the highest bucket of 5 s"
    assert finding.means.startswith("it is more than 5000 ms and how much more is unknown")


def test_an_idle_engine_has_unknown_latencies_not_zero() -> None:
    idle = histogram(TTFT, {"0.1": 0, "+Inf": 0}, 0.0) + 'vllm:num_requests_running{model_name="m"} 0.0\n'
    reading = read(idle)
    assert reading.metrics.ttft_ms.p99.basis == "unknown"
    assert reading.metrics.ttft_ms.mean.value is None
    assert reading.metrics.running.value == 0.0
    assert [finding.code for finding in reading.findings] == ["metrics-without-requests"]


def test_a_gauge_that_is_not_a_number_is_unknown() -> None:
    assert read(PAGE.replace("0.25\n", "NaN\n")).metrics.kv_cache_use.basis == "unknown"


def test_a_missing_gauge_is_unknown() -> None:
    page = PAGE.replace('vllm:num_requests_waiting{model_name="m"} 0.0\n', "")
    assert read(page).metrics.waiting.source == "page: vllm:num_requests_waiting is missing"


def test_few_requests_are_said_to_be_few() -> None:
    page = PAGE + histogram("vllm:other_seconds", {"+Inf": 1}, 1)
    page = page.replace("1000", "60").replace("900", "50").replace("500", "30")
    assert codes(page) == ["metrics-of-few-requests", "metrics-of-few-requests"]


def test_instances_of_one_model_add_up() -> None:
    reading = read(
        PAGE.replace('{model_name="m"', '{engine="0",model_name="m"')
        + PAGE.replace('{model_name="m"', '{engine="1",model_name="m"').replace("0.25\n", "0.75\n")
    )
    assert reading.metrics.ttft_ms.p95.value == 600.0
    assert reading.metrics.running.value == 6.0
    assert reading.metrics.kv_cache_use.value == 0.5


def test_of_several_models_the_busiest_is_assessed_and_the_others_are_named() -> None:
    other = histogram(TTFT, {"0.1": 0, "9.0": 7, "+Inf": 7}, 60.0, 'model_name="other"')
    reading = read(PAGE + other + 'vllm:num_requests_waiting{model_name="other"} 5.0\n')
    assert reading.model_name == "m"
    assert reading.metrics.waiting.value == 0.0
    assert reading.metrics.ttft_ms.p99.value == 920.0
    (finding,) = reading.findings
    assert finding.code == "metrics-of-several-models"
    assert finding.seen == "model_name m (1000 requests), and also other (7 requests)"


def test_of_several_models_the_one_named_like_the_service_is_assessed() -> None:
    other = histogram(TTFT, {"0.1": 0, "9.0": 700, "+Inf": 700}, 60.0, 'model_name="org/Other"')
    assert read(PAGE + other, served_as=("chat", "other")).model_name == "org/Other"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# TYPE node_load1 gauge\nnode_load1 0.5\n", "page: holds no metrics of vllm: no name starts with 'vllm:'"),
        ("", "page: holds no metrics of vllm"),
        ('{"status":"success"}', "page:1: is not Prometheus's text format, or is cut off"),
        (PAGE + "vllm:num_requests_running{model_na", "is not Prometheus's text format, or is cut off"),
        (
            PAGE[: PAGE.index('le="1.0"')] + 'le="1.0"} 1000\n',
            f"page: {TTFT} has no +Inf bucket: the exposition is cut off",
        ),
        (PAGE.replace('le="0.1"', 'le="x"'), f"page: {TTFT}_bucket has a bucket without a number in its label le"),
    ],
)
def test_what_is_no_exposition_of_the_engine_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        read(text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_label_with_an_odd_line_separator_does_not_end_the_line() -> None:
    page = PAGE + 'node_dmi_info{version="a\x1cb\x85c"} 1\n'
    assert parse(page, "page")[-1].labels == {"version": "a\x1cb\x85c"}


# Worked by hand from promql/quantile.go; tests/integration/assess asks Prometheus itself.
@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        (0.5, {1.0: 4, 2.0: 8, math.inf: 8}, (1.0, False)),
        (0.25, {1.0: 4, 2.0: 8, math.inf: 8}, (0.5, False)),
        (0.99, {15.0: 0, 20.0: 6, math.inf: 6}, (19.95, False)),
        (0.99, {1.0: 1, math.inf: 100}, (1.0, True)),
        (0.5, {-1.0: 5, 1.0: 5, math.inf: 5}, (-1.0, False)),
        (0.9, {1.0: 10, 2.0: 9, 3.0: 20, math.inf: 20}, (2.8, False)),
    ],
)
def test_quantiles_are_those_of_promql(q: float, buckets: dict[float, float], expected: tuple[float, bool]) -> None:
    value, beyond = histogram_quantile(q, buckets)
    assert (pytest.approx(value), beyond) == expected


@pytest.mark.parametrize("buckets", [{}, {math.inf: 5}, {1.0: 5}, {1.0: 0, math.inf: 0}])
def test_no_quantile_without_observations_or_without_an_infinite_bucket(buckets: dict[float, float]) -> None:
    value, beyond = histogram_quantile(0.99, buckets)
    assert math.isnan(value)
    assert not beyond


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 1000), min_size=2, max_size=12),
    low=st.floats(0, 1),
    high=st.floats(0, 1),
)
def test_quantiles_grow_with_q_and_stay_within_the_bounds(counts: list[int], low: float, high: float) -> None:
    total, buckets = 0, {}
    for bound, count in enumerate(counts, 1):
        total += count
        buckets[math.inf if bound == len(counts) else float(bound)] = float(total)
    if not total:
        return
    first, second = (histogram_quantile(q, buckets)[0] for q in sorted((low, high)))
    assert 0 <= first <= second + 1e-9
    assert second <= len(counts)


@settings(deadline=None, max_examples=150)
@given(at=st.integers(0, len(PAGE)), length=st.integers(0, 200), junk=st.text(max_size=20))
def test_no_damage_ends_in_a_traceback(at: int, length: int, junk: str) -> None:
    message = ""
    try:
        read(PAGE[:at] + junk + PAGE[at + length :])
    except UnreadableInput as error:
        message = str(error)
    assert "\n" not in message
