from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry import traces
from ferry.artefacts import Finding, TraceFacts
from ferry.assess import site, trace
from ferry.assess.site import RequestsPart
from ferry.errors import FerryError, UnreadableInput

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"


def azure(*rows: str) -> str:
    return "".join(f"{line}\n" for line in (HEADER, *rows))


def read(folder: Path, text: str, time_zone: str = "UTC", **part: object) -> tuple[TraceFacts, list[Finding]]:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return trace.read(path, RequestsPart.model_validate({"trace": "trace.csv", **part}), "trace.csv", time_zone)


def codes(findings: list[Finding]) -> set[str]:
    return {finding.code for finding in findings}


def test_rates_and_quantiles_are_exact(tmp_path: Path) -> None:
    # 60 requests in the first minute, one each 10 s in the second, the last at 1800 s.
    rows = [f"2023-11-16 18:00:{second:02d}.0000000,{second + 1},10" for second in range(60)]
    rows += [f"2023-11-16 18:01:{second:02d}.5000000,{100 + second},20" for second in range(0, 60, 10)]
    rows += ["2023-11-16 18:30:00.0000000,1000,500"]
    facts, findings = read(tmp_path, azure(*rows))
    assert (facts.format, facts.requests, facts.duration_s) == ("azure-llm-2023", 67, 1800.0)
    assert facts.mean_rps.value == 67 / 1800
    assert facts.peak_rps.value == 1.0
    assert facts.peak_rps.source == "trace.csv: minute 0 from the start"
    assert facts.input_tokens.mean.value == pytest.approx((sum(range(1, 61)) + 750 + 1000) / 67, rel=1e-15)
    assert (facts.input_tokens.p50.value, facts.input_tokens.p95.value, facts.input_tokens.p99.value) == (34, 130, 1000)
    assert (facts.output_tokens.p50.value, facts.output_tokens.p99.value) == (10, 500)
    assert findings == []


def test_seven_digits_of_a_second_are_read(tmp_path: Path) -> None:
    facts, _ = read(tmp_path, azure("2023-11-16 18:15:46.6805900,1,1", "2023-11-16 18:15:47.6805999,1,1"))
    assert facts.duration_s == pytest.approx(1.000009, abs=1e-6)


def test_columns_are_found_by_name_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    facts, _ = read(
        tmp_path, "\ufeffGeneratedTokens, TIMESTAMP ,model,ContextTokens\r\n7,2023-11-16T18:15:46,m,9\r\n\r\n"
    )
    assert (facts.input_tokens.p50.value, facts.output_tokens.p50.value, facts.damaged_rows) == (9, 7, 0)


def test_a_trace_shorter_than_a_minute_has_no_peak(tmp_path: Path) -> None:
    facts, findings = read(tmp_path, azure("2023-11-16 18:15:46,1,1", "2023-11-16 18:16:36,1,1"))
    assert facts.mean_rps.value == 2 / 50
    assert facts.peak_rps.basis == "unknown"
    assert [(finding.code, finding.seen) for finding in findings] == [("trace-too-short", "the trace covers 50 s")]


def test_a_single_request_has_no_rate(tmp_path: Path) -> None:
    facts, _ = read(tmp_path, azure("2023-11-16 18:15:46,5,6"))
    assert (facts.mean_rps.basis, facts.input_tokens.p99.value) == ("unknown", 5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "trace.csv: the trace has no requests: the file is empty"),
        (
            "a,b\n",
            "trace.csv:1: is not a trace of format azure-llm-2023: column TIMESTAMP is missing; found: a, b",
        ),
        (azure(), "trace.csv: the trace has no requests; it was read as azure-llm-2023"),
        (
            azure("2023-11-16 18:15:46,1,1", "2023-11-16 18:15:46Z,1,1"),
            "trace.csv: some times have a zone and others have none (1 and 1); write them alike",
        ),
        (
            azure("2023-11-16 18:15:46,1,1", "yesterday,1,1", "2023-11-16 18:15:47,-1,1"),
            "trace.csv: 2 rows are damaged (line 3, line 4) and 1 are not; more than half is no trace of format "
            "azure-llm-2023: export it again, or name its format or columns in site.yaml",
        ),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        read(tmp_path, text, format="azure-llm-2023")
    assert str(refused.value) == says


@pytest.mark.parametrize(
    "row",
    [
        "2023-11-16 18:15:47,-1,1",
        "2023-11-16 18:15:47,1,x",
        "2023-11-16 18:15:47,1",
        "2023-11-16 18:15:47,1,",
        "2023-11-16 18:15:47,1,1,1",
        "2023-11-16 18:15:47,1.5,1",
        "2023-11-16 18:15:47,1e12,1",
        "2023-02-30 18:15:47,1,1",
        "yesterday,1,1",
        '2023-11-16 18:15:47,"' + "1" * 5_000_000 + '",1',
        "2023-11-16 18:15:47,NaN,1",
    ],
)
def test_a_damaged_row_is_counted_named_and_used_for_nothing(tmp_path: Path, row: str) -> None:
    facts, findings = read(tmp_path, azure("2023-11-16 18:15:46,1,1", "2023-11-16 18:15:46,2,1", row))
    assert (facts.requests, facts.damaged_rows, facts.input_tokens.p99.value) == (2, 1, 2)
    (damaged,) = (finding for finding in findings if finding.code == "trace-rows-damaged")
    assert damaged.where == "trace.csv: line 4"


def test_rows_out_of_order_change_no_figure_and_are_said(tmp_path: Path) -> None:
    rows = ["2023-11-16 18:15:46,1,1", "2023-11-16 18:15:40,2,1", "2023-11-16 18:15:50,3,1"]
    facts, findings = read(tmp_path, azure(*rows))
    assert (facts.requests, facts.duration_s) == (3, 10.0)
    (order,) = (finding for finding in findings if finding.code == "trace-out-of-order")
    assert order.seen == "1 rows are earlier than the one above, by up to 6 s"


def test_requests_that_are_there_twice_are_said(tmp_path: Path) -> None:
    _, findings = read(tmp_path, azure(*["2023-11-16 18:15:46.5,7,8"] * 3, "2023-11-16 18:15:47.5,7,8"))
    (twice,) = (finding for finding in findings if finding.code == "trace-duplicates")
    assert twice.seen == "2 of 4 requests are like an earlier one in all that the trace tells"


def test_a_gap_is_told_from_a_quiet_hour(tmp_path: Path) -> None:
    def rows(step_s: int) -> list[str]:
        seconds = [*range(0, 3600, step_s), *range(7200, 10800, step_s)]
        return [f"2023-11-16 {18 + at // 3600}:{at // 60 % 60:02}:{at % 60:02},{at},1" for at in seconds]

    _, findings = read(tmp_path, azure(*rows(4)))
    (gap,) = (finding for finding in findings if finding.code == "trace-gap")
    assert (gap.where, gap.seen) == (
        "trace.csv: 3596 s from the start",
        "no request for 3604 s, where the mean rate would have brought 601",
    )
    assert "trace-gap" not in codes(read(tmp_path, azure(*rows(60)))[1])


def test_hours_are_of_the_sites_time_zone_where_the_times_have_one(tmp_path: Path) -> None:
    lines = [f"2024-05-10 23:{minute:02}:00.009930+00:00,10,1" for minute in range(60)]
    facts, _ = read(tmp_path, azure(*lines, "2024-05-11 00:10:00.009930+00:00,1,1"), "America/New_York")
    assert facts.format == "azure-llm-2024"
    assert facts.by_hour is not None
    assert facts.by_hour.time_zone == "America/New_York"
    known = {hour: value for hour, value in enumerate(facts.by_hour.values) if value is not None}
    assert known.keys() == {19, 20}
    assert (known[19], known[20]) == (pytest.approx(60 / 3599.99007), pytest.approx(1 / 600.00993))
    facts, _ = read(tmp_path, azure(*(line.replace("+00:00", "") for line in lines)), "America/New_York")
    assert facts.by_hour is not None
    assert (facts.by_hour.time_zone, facts.by_hour.values[23]) == ("as the file has it", pytest.approx(60 / 3540))


NGINX = '10.0.0.1 - - [19/Jan/2026:14:{:02}:{:02} +0100] "POST /v1/chat/completions HTTP/1.1" {} 15 "-" "curl" rt={}\n'


def test_an_access_log_tells_latency_errors_and_how_many_at_once_but_no_tokens(tmp_path: Path) -> None:
    # Three at once: 14:00:00 to :10, :02 to :12, :03 to :04; the fourth begins when the third ends.
    ends = [(4, 200, "1.000"), (10, 200, "10.000"), (12, 502, "10.000"), (14, 429, "10.000")]
    health = '10.0.0.9 - - [19/Jan/2026:14:00:21 +0100] "GET /health HTTP/1.1" 200 2 "-" "kube-probe"\n'
    facts, findings = read(tmp_path, "".join(NGINX.format(0, *end) for end in ends) + health)
    assert (facts.format, facts.requests, facts.passed_over, facts.duration_s) == ("nginx", 4, 1, 4.0)
    assert facts.latency_ms is not None
    assert (facts.latency_ms.mean.value, facts.latency_ms.p50.value) == (7750, 10000)
    assert facts.peak_in_flight is not None
    assert facts.peak_in_flight.value == 3
    assert facts.client_errors is not None
    assert facts.server_errors is not None
    assert (facts.client_errors.value, facts.server_errors.value) == (0.25, 0.25)
    assert (facts.input_tokens.p50.basis, facts.output_tokens.mean.basis) == ("unknown", "unknown")
    assert codes(findings) == {
        "trace-too-short",
        "trace-without-tokens",
        "trace-reading",
        "trace-other-requests",
        "trace-server-errors",
    }
    (without,) = (finding for finding in findings if finding.code == "trace-without-tokens")
    assert without.seen == "nginx tells no prompt and no answer tokens"


def test_a_log_without_times_yields_no_rates(tmp_path: Path) -> None:
    lines = 'INFO:     172.17.0.1:56104 - "POST /v1/chat/completions HTTP/1.1" 200 OK\n' * 3
    facts, findings = read(tmp_path, lines)
    assert (facts.requests, facts.duration_s, facts.mean_rps.basis, facts.by_hour) == (3, None, "unknown", None)
    assert "trace-without-times" in codes(findings)


def test_several_models_are_said(tmp_path: Path) -> None:
    text = "time,input_tokens,output_tokens,model\n2026-01-01T00:00:00Z,1,1,a\n2026-01-01T00:00:01Z,1,1,b\n"
    _, findings = read(tmp_path, text)
    (several,) = (finding for finding in findings if finding.code == "trace-of-several-models")
    assert several.seen == "requests to 2 models: a (1), b (1)"


def test_site_yaml_names_all_formats_and_columns_that_traces_know() -> None:
    assert get_args(site.TraceFormat) == traces.FORMATS
    assert get_args(site.TraceColumn) == traces.COLUMNS


@settings(deadline=None, max_examples=12)
@given(rows=st.lists(st.text(alphabet="0123456789-: .,Z\x00\"'x", max_size=40), max_size=5))
def test_no_row_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, rows: list[str]) -> None:
    message = ""
    try:
        read(tmp_path_factory.mktemp("trace"), azure("2023-11-16 18:15:46,1,1", *rows))
    except FerryError as error:
        message = str(error)
    assert "\n" not in message


@settings(deadline=None, max_examples=12)
@given(values=st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_quantiles_are_values_of_the_trace_that_enough_values_do_not_exceed(
    tmp_path_factory: pytest.TempPathFactory, values: list[int]
) -> None:
    facts, _ = read(tmp_path_factory.mktemp("trace"), azure(*(f"2023-11-16 18:15:46,{value},0" for value in values)))
    for percent, figure in ((50, facts.input_tokens.p50), (95, facts.input_tokens.p95), (99, facts.input_tokens.p99)):
        assert figure.value == sorted(values)[-(-percent * len(values) // 100) - 1]
