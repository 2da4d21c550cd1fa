from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from ferry.assess.prometheus.engines import canonical
from ferry.assess.prometheus.exposition import parse
from ferry.assess.prometheus.series import Page, Point
from ferry.errors import UnreadableInput

RUNNING = "vllm:num_requests_running"


def values(page: Page) -> dict[str, float]:
    kept = [one for one in page.series if not one.name.endswith("_created")]
    return {canonical(one.name) + str(sorted(one.labels.items()) or ""): one.last for one in kept}


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    labels = ["model_name"]
    Gauge("vllm:num_requests_running", "Running.", labels, registry=made).labels('a "b" \\ c\nd').set(3)
    Counter("vllm:prompt_tokens", "Tokens.", labels, registry=made).labels("m").inc(12345.678)
    histogram = Histogram("vllm:time_to_first_token_seconds", "TTFT.", labels, registry=made, buckets=(0.1, 1))
    for value in (0.05, 0.5, 5):
        histogram.labels("m").observe(value, {"trace_id": "x # {y} z"} if value > 1 else None)
    return made


def test_what_the_client_library_writes_in_both_formats_is_read_with_the_same_values() -> None:
    text = values(parse(generate_latest(registry()).decode(), "p"))
    openmetrics = parse(generate_openmetrics(registry()).decode(), "p")
    assert text == values(openmetrics)
    assert openmetrics.findings == []
    assert text["vllm:prompt_tokens_total[('model_name', 'm')]"] == 12345.678
    assert text["vllm:num_requests_running[('model_name', 'a \"b\" \\\\ c\\nd')]"] == 3
    assert text["vllm:time_to_first_token_seconds_bucket[('le', '+Inf'), ('model_name', 'm')]"] == 3


@pytest.mark.parametrize("indent", ["", "    ", "\t", "   * "[:3]])
def test_an_indented_excerpt_is_read_with_its_line_numbers(indent: str) -> None:
    page = parse(f"{indent}# TYPE {RUNNING} gauge\n{indent}{RUNNING}{{}} 2\n", "doc.rst")
    assert [(one.last, one.place) for one in page.series] == [(2.0, "doc.rst:2")]


def test_an_excerpt_within_a_document_says_what_it_passed_over() -> None:
    page = parse(f"# Metrics\nSee here, version 2:\n```\ntotal 5\n{RUNNING} 2\n...\n```\n", "doc.md")
    assert values(page) == {RUNNING: 2.0}
    (finding,) = page.findings
    assert (finding.code, finding.where) == ("metrics-excerpt", "doc.md:2")
    assert finding.seen == "4 of 8 lines are no samples, the first: 'See here, version 2:'"


def test_times_in_the_page_are_milliseconds_and_in_openmetrics_seconds() -> None:
    assert parse(f"{RUNNING} 2 1700000000500\n", "p").series[0].points == [Point(1700000000.5, 2.0)]
    assert parse(f"{RUNNING} 2 1700000000.5\n# EOF\n", "p").series[0].points == [Point(1700000000.5, 2.0)]


def test_one_series_at_several_times_is_one_series() -> None:
    page = parse(f"{RUNNING} 2 20\n{RUNNING} 1 10\n# EOF\n", "p")
    assert page.series[0].points == [Point(10.0, 1.0), Point(20.0, 2.0)]
    assert page.findings == []


def test_the_same_series_twice_is_said_and_never_averaged() -> None:
    page = parse(f'{RUNNING}{{gpu="0"}} 2\n{RUNNING}{{gpu="0"}} 4\n', "p")
    assert values(page) == {f"{RUNNING}[('gpu', '0')]": 4.0}
    assert [len(one.points) for one in page.series] == [1]
    assert [(finding.code, finding.where) for finding in page.findings] == [("metrics-repeated-series", "p:2")]


def test_a_last_line_without_its_end_may_be_cut_off() -> None:
    assert [finding.code for finding in parse(f"{RUNNING} 2", "p").findings] == ["metrics-without-last-line-end"]


def test_a_label_with_an_odd_line_separator_does_not_end_the_line() -> None:
    assert parse('node_dmi_info{version="a\x1cb\x85c"} 1\n', "p").series[0].labels == {"version": "a\x1cb\x85c"}


@pytest.mark.parametrize(
    "line",
    [
        f"{RUNNING} 1_000",
        f"{RUNNING} ١٢",
        f"{RUNNING} 0,5",
        f"{RUNNING} 1 2 3",
        f'{RUNNING}{{a="b" 1',
        f'{RUNNING}{{a="b",,}} 1',
        f"{RUNNING}{{a=b}} 1",
        f"{RUNNING} ",
        f'{RUNNING}{{a="{"x" * 70000}"}} 1',
    ],
)
def test_a_line_that_prometheus_would_not_take_is_not_taken(line: str) -> None:
    page = parse(f"vllm:num_requests_waiting 1\n{line}\n", "p")
    assert values(page) == {"vllm:num_requests_waiting": 1.0}
    assert [(finding.code, finding.where) for finding in page.findings] == [("metrics-damaged-line", "p:2")]


def test_a_bucket_whose_name_is_damaged_takes_its_histogram_out() -> None:
    name = "vllm:time_to_first_token_seconds"
    lines = [f'{name}_bucket{{le="{bound}"}} {count}' for bound, count in (("0.1", 1), ("0.5", 5), ("+Inf", 9))]
    lines[1] = lines[1].replace("first", "fjrst")
    page = parse(f"# TYPE {name} histogram\n" + "\n".join(lines) + "\nvllm:num_requests_running 1\n", "p")
    assert {one.name for one in page.series} == {"vllm:time_to_fjrst_token_seconds_bucket", RUNNING}
    assert [finding.where for finding in page.findings] == ["p:3"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("<!DOCTYPE html><html>", "is a web page, perhaps a login"),
        ("global:\nscrape_configs:\n  - job_name: vllm\n", "is the configuration of a Prometheus server"),
        ("groups:\n- name: x\n  rules: []\n", "is a file of Prometheus rules"),
        (
            "| `ollama_up` | gauge |\n| `ollama_requests_total` |\n",
            "names 2 metrics (ollama_up, ollama_requests_total)",
        ),
        ("# TYPE vllm:num_requests_running gauge\n", "names 1 metrics (vllm:num_requests_running) and no value"),
        ("404 page not found\n", "1: '404 page not found' is not Prometheus's text format"),
        (f"{RUNNING}{{model_na", "is not Prometheus's text format, or is cut off"),
    ],
)
def test_what_holds_no_sample_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        parse(text, "p")
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(alphabet='a:_{}="\\, #\n0', max_size=30), max_size=20))
def test_hostile_lines_cost_no_more_than_their_length(parts: list[str]) -> None:
    with contextlib.suppress(UnreadableInput):
        parse(f"{RUNNING}{{" + "".join(parts) * 50, "p")


def test_a_line_that_names_a_label_twice_takes_its_metric_out() -> None:
    page = parse(
        'vllm:num_requests_running{model_name="m",le="0",le="1"} 1\nvllm:num_requests_waiting{model_name="m"} 2\n',
        "m.txt",
    )
    assert [series.name for series in page.series] == ["vllm:num_requests_waiting"]
    assert any("m.txt:1" in finding.where for finding in page.findings)
