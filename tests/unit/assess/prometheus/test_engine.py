from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.assess.prometheus import EngineReading, engine_metrics
from ferry.assess.prometheus.exposition import parse
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


SINCE = "since the start of the process"


def read(text: str, served_as: tuple[str, ...] = (), engine: str = "vllm") -> EngineReading:
    return engine_metrics([parse(text, "page")], engine=engine, source="page", served_as=served_as)


def codes(text: str, engine: str = "vllm") -> list[str]:
    """What is found beside the remark that a saved page counts since the start."""
    found = [finding.code for finding in read(text, engine=engine).findings]
    return [code for code in found if code != "metrics-since-start"]


def test_a_page_of_the_v0_engine_is_read_with_exact_values() -> None:
    metrics = read(PAGE).metrics
    assert metrics.ttft_ms.mean.value == 120.0
    assert metrics.ttft_ms.p50.value == 100.0
    assert metrics.ttft_ms.p95.value == 600.0
    assert metrics.ttft_ms.p99.value == 920.0
    assert metrics.tpot_ms.p50.value == 15.0
    assert metrics.latency_ms.p95.value == 4800.0
    assert (metrics.running.value, metrics.waiting.value, metrics.kv_cache_use.value) == (3.0, 0.0, 0.25)
    assert metrics.ttft_ms.p99.source == f"page:2-5: {TTFT}, {SINCE}"
    assert metrics.running.source == "page:20: vllm:num_requests_running, at one moment"
    assert metrics.window == SINCE
    assert [finding.code for finding in read(PAGE).findings] == ["metrics-since-start"]


def test_a_page_of_the_v1_engine_is_read_by_its_own_names() -> None:
    page = PAGE.replace("vllm:time_per_output_token_seconds", "vllm:inter_token_latency_seconds")
    page = page.replace("gpu_cache_usage_perc", "kv_cache_usage_perc")
    page += histogram("vllm:request_time_per_output_token_seconds", {"0.03": 0, "0.05": 9000, "+Inf": 9000}, 1.0)
    metrics = read(page).metrics
    assert metrics.tpot_ms.p50.value == 40.0
    assert "vllm:request_time_per_output_token_seconds" in metrics.tpot_ms.p50.source
    assert metrics.kv_cache_use.value == 0.25


def test_a_quantile_above_the_highest_bucket_is_unknown_and_its_bound_is_told() -> None:
    page = PAGE.replace(
        'e2e_request_latency_seconds_bucket{model_name="m",le="5.0"} 1000',
        'e2e_request_latency_seconds_bucket{model_name="m",le="5.0"} 960',
    )
    reading = read(page)
    assert reading.metrics.latency_ms.p95.basis == "measured"
    assert reading.metrics.latency_ms.p99.value is None
    assert reading.metrics.latency_ms.p99.at_least == 5000.0
    assert reading.metrics.latency_ms.p99.source.endswith("more than 5000 ms, the highest bucket")
    (finding,) = (finding for finding in reading.findings if finding.code == "metrics-beyond-last-bucket")
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
    (finding,) = (finding for finding in reading.findings if finding.code == "metrics-of-several-models")
    assert finding.seen == "model_name m (1000 requests), and also other (7 requests)"


def test_of_several_models_the_one_named_like_the_service_is_assessed() -> None:
    other = histogram(TTFT, {"0.1": 0, "9.0": 700, "+Inf": 700}, 60.0, 'model_name="org/Other"')
    assert read(PAGE + other, served_as=("chat", "other")).model_name == "org/Other"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "# TYPE go_goroutines gauge\ngo_goroutines 5\n",
            "page: holds go_goroutines, and no metric that Ferry knows",
        ),
        ("vllm:lora_requests_info 5\n", "page: holds no metrics of vllm: none of those that Ferry knows"),
        ("node_load1 0.5\n", "they are of the machines and their GPUs; name the file under cluster.metrics"),
        ('sglang_num_running_reqs{model_name="m"} 5\n', "they are of sglang; correct serving.engine"),
        ("", "page: is empty"),
        ('{"status":"success"}', 'page:1: \'{"status":"success"}\' is not Prometheus\'s text format'),
    ],
)
def test_what_is_no_exposition_of_the_engine_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        read(text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda page: page[: page.index('le="1.0"')] + 'le="1.0"} 1000\n', "it has no +Inf bucket"),
        (lambda page: page.replace('le="0.1"', 'le="x"'), "has no number in its label le: 'x'"),
        (lambda page: page.replace('le="0.1"} 500', 'le="0.1"} -500'), "counts -500"),
        (lambda page: page.replace('le="0.1"} 500', 'le="0.1"} NaN'), "counts nan"),
        (
            lambda page: page.replace('seconds_count{model_name="m"} 1000', 'seconds_count{model_name="m"} 9000', 1),
            "9000",
        ),
        (
            lambda page: page.replace(
                'token_seconds_sum{model_name="m"} 120.0', 'token_seconds_sum{model_name="m"} Inf'
            ),
            "inf",
        ),
    ],
)
def test_a_damaged_histogram_gives_no_number_and_a_finding(damage: Callable[[str], str], why: str) -> None:
    reading = read(damage(PAGE))
    assert reading.metrics.ttft_ms.p99.value is None
    assert reading.metrics.ttft_ms.mean.value is None
    assert "metrics-damaged-histogram" in {finding.code for finding in reading.findings}
    assert why in reading.metrics.ttft_ms.p99.source


def test_a_damaged_line_takes_its_whole_metric_out() -> None:
    reading = read(PAGE.replace('bucket{model_name="m",le="0.2"} 900', 'bucket{model_name="m",le="0.2"} 9o0'))
    assert reading.metrics.ttft_ms.p99.value is None
    assert reading.metrics.latency_ms.p95.value == 4800.0
    assert "metrics-damaged-line" in {finding.code for finding in reading.findings}


def test_a_page_that_is_cut_off_in_a_line_says_so_and_keeps_what_is_whole() -> None:
    reading = read(PAGE + "vllm:num_requests_running{model_na")
    assert reading.metrics.running.value is None
    assert reading.metrics.waiting.value == 0.0
    (finding,) = (finding for finding in reading.findings if finding.code == "metrics-damaged-line")
    assert (finding.where, finding.seen) == ("page:23", "'vllm:num_requests_running{model_na' is no sample")


def test_buckets_that_fall_are_lifted_as_prometheus_does_and_said() -> None:
    page = PAGE.replace('le="0.2"} 900', 'le="0.2"} 400')
    assert read(page).metrics.ttft_ms.p50.value == 100.0
    assert codes(page) == ["metrics-buckets-fall"]


def test_instances_with_different_buckets_do_not_add_up() -> None:
    other = histogram(TTFT, {"0.5": 10, "+Inf": 10}, 1.0, 'model_name="m",engine="1"')
    assert read(PAGE + other).metrics.ttft_ms.p99.value is None
    assert codes(PAGE + other) == ["metrics-damaged-histogram"]


def test_the_same_bucket_written_in_two_ways_is_one() -> None:
    one = histogram(TTFT, {"1": 5, "+Inf": 10}, 1.0, 'model_name="m",engine="0"')
    two = histogram(TTFT, {"1.0": 5, "+Inf": 10}, 1.0, 'model_name="m",engine="1"')
    assert read(one + two).metrics.ttft_ms.p50.value == 1000.0


def test_one_process_that_was_saved_twice_counts_once() -> None:
    start = "process_start_time_seconds 1.5e+09\n"
    later = PAGE.replace("1000", "2000").replace("900", "1900")
    pages = [parse(PAGE + start, "early"), parse(later + start, "late")]
    reading = engine_metrics(pages, engine="vllm", source="both")
    assert reading.metrics.ttft_ms.p50.source.startswith("late:")
    assert reading.metrics.running.value == 3.0
    assert "metrics-of-one-process-twice" in {finding.code for finding in reading.findings}


def test_ranks_of_one_engine_report_the_same_requests_once() -> None:
    lines = [f'sglang:num_running_reqs{{model_name="m",tp_rank="{rank}"}} {value}' for rank, value in ((0, 7), (1, 0))]
    lines += [
        'sglang:num_queue_reqs{model_name="m",priority=""} 4',
        'sglang:num_queue_reqs{model_name="m",priority="1"} 3',
    ]
    metrics = read("\n".join(lines) + "\n", engine="sglang").metrics
    assert (metrics.running.value, metrics.waiting.value) == (7.0, 4.0)


def test_a_cache_that_is_fuller_than_full_is_unknown() -> None:
    page = PAGE.replace('perc{model_name="m"} 0.25', 'perc{model_name="m"} 25')
    assert read(page).metrics.kv_cache_use.value is None
    assert codes(page) == ["kv-cache-use-contradicts"]


@settings(deadline=None, max_examples=150)
@given(at=st.integers(0, len(PAGE)), length=st.integers(0, 200), junk=st.text(max_size=20))
def test_no_damage_ends_in_a_traceback(at: int, length: int, junk: str) -> None:
    message = ""
    try:
        read(PAGE[:at] + junk + PAGE[at + length :])
    except UnreadableInput as error:
        message = str(error)
    assert "\n" not in message
