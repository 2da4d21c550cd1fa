from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.assess.trace import parse
from ferry.errors import UnreadableInput

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"


def trace(*rows: str) -> list[str]:
    return [f"{line}\n" for line in (HEADER, *rows)]


def refusal(lines: list[str]) -> str:
    with pytest.raises(UnreadableInput) as refused:
        parse(lines, "trace.csv")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_rates_and_quantiles_are_exact() -> None:
    # 60 requests in the first minute, one each 10 s in the second, the last at 1800 s.
    rows = [f"2023-11-16 18:00:{second:02d}.0000000,{second + 1},10" for second in range(60)]
    rows += [f"2023-11-16 18:01:{second:02d}.5000000,100,20" for second in range(0, 60, 10)]
    rows += ["2023-11-16 18:30:00.0000000,1000,500"]
    facts, findings = parse(trace(*rows), "trace.csv")
    assert (facts.requests, facts.duration_s) == (67, 1800.0)
    assert facts.mean_rps.value == 67 / 1800
    assert facts.peak_rps.value == 1.0
    assert facts.peak_rps.source == "trace.csv: minute 0 from the start"
    assert facts.input_tokens.mean.value == (sum(range(1, 61)) + 600 + 1000) / 67
    assert (facts.input_tokens.p50.value, facts.input_tokens.p95.value, facts.input_tokens.p99.value) == (34, 100, 1000)
    assert (facts.output_tokens.p50.value, facts.output_tokens.p99.value) == (10, 500)
    assert findings == []


def test_seven_digits_of_a_second_are_read() -> None:
    facts, _ = parse(trace("2023-11-16 18:15:46.6805900,1,1", "2023-11-16 18:15:47.6805999,1,1"), "t")
    assert facts.duration_s == pytest.approx(1.000009, abs=1e-6)


def test_columns_are_found_by_name_and_blank_lines_are_passed_over() -> None:
    lines = ["\ufeffGeneratedTokens, TIMESTAMP ,model,ContextTokens\r\n", "7,2023-11-16T18:15:46,m,9\r\n", "\r\n"]
    facts, _ = parse(lines, "t")
    assert (facts.input_tokens.p50.value, facts.output_tokens.p50.value) == (9, 7)


def test_a_trace_shorter_than_a_minute_has_no_peak() -> None:
    facts, findings = parse(trace("2023-11-16 18:15:46,1,1", "2023-11-16 18:16:36,1,1"), "t")
    assert facts.mean_rps.value == 2 / 50
    assert facts.peak_rps.basis == "unknown"
    assert [(finding.code, finding.seen) for finding in findings] == [("trace-too-short", "the trace covers 50 s")]


def test_a_single_request_has_no_rate() -> None:
    facts, _ = parse(trace("2023-11-16 18:15:46,5,6"), "t")
    assert (facts.mean_rps.basis, facts.input_tokens.p99.value) == ("unknown", 5)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "trace.csv:1: is not a trace of format azure-llm-2023: column TIMESTAMP is missing; found: an empty file"),
        (["a,b\n"], "trace.csv:1: is not a trace of format azure-llm-2023: column TIMESTAMP is missing; found: a, b"),
        (trace(), "trace.csv: the trace has no requests"),
        (
            trace("2023-11-16 18:15:46,1,1", "2023-11-16 18:15:45,1,1"),
            "trace.csv:3: TIMESTAMP '2023-11-16 18:15:45' is before the line above; sort the trace by TIMESTAMP",
        ),
        (
            trace("2023-11-16 18:15:46,1,1", "2023-11-16 18:15:47,-1,1"),
            "trace.csv:3: ContextTokens is -1; allowed are 0 to 100000000",
        ),
        (trace("2023-11-16 18:15:46,1,x"), "trace.csv:2: GeneratedTokens 'x' is not a whole number"),
        (trace("2023-11-16 18:15:46,1"), "trace.csv:2: GeneratedTokens '' is not a whole number"),
        (trace("yesterday,1,1"), "trace.csv:2: TIMESTAMP 'yesterday' is not a time like 2023-11-16 18:15:46.6805900"),
        (
            trace("2023-11-16 18:15:46,1,1", "2023-11-16 18:15:46Z,1,1"),
            "trace.csv:3: TIMESTAMP '2023-11-16 18:15:46Z': some times have a zone and others have none",
        ),
    ],
)
def test_a_damaged_trace_is_refused_with_its_line(lines: list[str], says: str) -> None:
    assert refusal(lines) == says


def test_a_line_that_is_too_long_for_csv_is_refused() -> None:
    assert refusal(trace('2023-11-16 18:15:46,"' + "1" * 200_000 + '",1')).startswith("trace.csv:2: is not CSV text")


@settings(deadline=None, max_examples=200)
@given(rows=st.lists(st.text(alphabet="0123456789-: .,Z\x00\"'x", max_size=40), max_size=5))
def test_no_row_ends_in_a_traceback(rows: list[str]) -> None:
    message = ""
    try:
        parse(trace("2023-11-16 18:15:46,1,1", *rows), "t")
    except UnreadableInput as error:
        message = str(error)
    assert "\n" not in message


@settings(deadline=None)
@given(values=st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_quantiles_are_values_of_the_trace_that_enough_values_do_not_exceed(values: list[int]) -> None:
    facts, _ = parse(trace(*(f"2023-11-16 18:15:46,{value},0" for value in values)), "t")
    for share, figure in (
        (0.5, facts.input_tokens.p50),
        (0.95, facts.input_tokens.p95),
        (0.99, facts.input_tokens.p99),
    ):
        assert figure.value in values
        assert sum(value <= figure.value for value in values) >= share * len(values)
        assert sum(value < figure.value for value in values) < share * len(values)
