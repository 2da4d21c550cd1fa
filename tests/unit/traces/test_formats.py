"""Each format, in lines of our own, to what its program prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ferry.errors import FerryError, InvalidField, UnreadableInput
from ferry.traces import Trace, open_trace, recognise

Open = Callable[..., Trace]
DAY_US = 86_400_000_000


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    """Write a text and open it: closed when the test ends."""
    traces: list[Trace] = []

    def make(text: str | bytes, **options: Any) -> Trace:
        path = tmp_path / "requests.log"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        traces.append(open_trace(path, label="requests.log", **options))
        return traces[-1]

    yield make
    for trace in traces:
        trace.close()


def rows(trace: Trace, *columns: str) -> list[tuple[Any, ...]]:
    return trace.relation.project(", ".join(columns)).fetchall()


CHAT = "POST /v1/chat/completions HTTP/1.1"
STAMP = "[19/Jan/2026:14:23:45 +0100]"
END_US = 1_768_829_025_000_000


@pytest.mark.parametrize(
    ("line", "latency_us", "status"),
    [
        (f'1.1.1.1 - - {STAMP} "{CHAT}" 200 15 "-" "curl" rt=2.341 uct="0.002" urt="2.339"', 2_341_000, 200),
        (f'1.1.1.1 - - {STAMP} "{CHAT}" 200 15 "-" "curl"', None, 200),
        (f'1.1.1.1 - - {STAMP} "{CHAT}" 499 0 "-" "-" "-" request_time=0.500 x', 500_000, 499),
        (f'1.1.1.1 - - {STAMP} "{CHAT}" 200 15 "-" "curl" urt="0.001, 0.200 : 0.3"', 501_000, 200),
        (f'1.1.1.1 - - {STAMP} "{CHAT}" 502 15 "-" "curl" urt="-"', None, 502),
        (f'1.1.1.1 - - {STAMP} "{CHAT}" 200 15 "-" "curl" 812 1.250 [default-vllm] [] 10.0.0.1:8000', 1_250_000, 200),
        (f'1.1.1.1 - - {STAMP} "{CHAT}" 200 15 "-" "curl" "3.120" "0.001" "0.350" "3.119"', 3_120_000, 200),
        (f'1.1.1.1 - - {STAMP} "{CHAT}" 499 0 "-" "curl" "60.001" "0.001" "-" "-"', 60_001_000, 499),
        (f'1.1.1.1 - - {STAMP}  429 "{CHAT}" 0 "-" "curl" "10.3.60.38" "-"', None, 429),
        (f'2026-01-19T13:23:45Z stdout F 1.1.1.1 - bob {STAMP} "{CHAT}" 200 1 "-" "\\x22" rt=0.001', 1000, 200),
    ],
)
def test_nginx_in_its_spellings(opened: Open, line: str, latency_us: int | None, status: int) -> None:
    trace = opened(line + "\n")
    assert (trace.format, trace.zoned) == ("nginx", True)
    assert rows(trace, "arrival_us", "latency_us", "status") == [(END_US - (latency_us or 0), latency_us, status)]


def test_an_nginx_time_that_was_cut_off_is_damaged_not_short(opened: Open) -> None:
    line = f'1.1.1.1 - - {STAMP} "{CHAT}" 200 15 "-" "curl" rt='
    trace = opened(f"{line}2.341\n{line}2.3")
    assert (trace.counts.requests, trace.counts.damaged, trace.counts.damaged_at) == (1, 1, ("line 2",))


def test_a_log_format_of_the_users_own(opened: Open) -> None:
    own = (
        "log_format llm '$remote_addr $msec $status|$request_method|$uri|$request_time|'\n"
        "'$upstream_response_time $upstream_http_x_prompt_tokens';"
    )
    columns = {"input_tokens": "$upstream_http_x_prompt_tokens"}
    text = "1.1.1.1 1768829025.500 200|POST|/v1/completions|1.500|0.100, 1.300 77\n1.1.1.1 garbage\n"
    trace = opened(text * 2 + text.splitlines()[0] + "\n", log_format=own, columns=columns)
    assert rows(trace, "arrival_us", "latency_us", "status", "input_tokens")[0] == (
        END_US - 1_000_000, 1_500_000, 200, 77,
    )  # fmt: skip
    assert (trace.counts.requests, trace.counts.damaged) == (3, 2)
    with pytest.raises(InvalidField, match="names \\$nothing, which the log_format does not print"):
        opened(text, log_format=own, columns={"input_tokens": "nothing"})


ENVOY = (
    '[2026-01-19T13:23:45.000Z] "POST /v1/chat/completions HTTP/1.1" 200 - {}154 79 1530 1528 "-" "curl" "id" "a" "b"'
)


@pytest.mark.parametrize("istio", ["", 'via_upstream - "-" '])
def test_envoys_own_text_format(opened: Open, istio: str) -> None:
    trace = opened(ENVOY.format(istio) + "\n")
    assert trace.format == "envoy"
    assert rows(trace, "arrival_us", "latency_us", "status") == [(END_US, 1_530_000, 200)]


GIN = '[GIN] 2026/01/19 - 13:23:45 | 200 | {:>13} |       127.0.0.1 | POST     "/api/chat"'


@pytest.mark.parametrize(
    ("spelled", "latency_us"),
    [("1m43s", 103_000_000), ("57.95s", 57_950_000), ("684.65ms", 684_650), ("51µs", 51), ("1h2m3s", 3_723_000_000)],
)
def test_gins_durations(opened: Open, spelled: str, latency_us: int) -> None:
    trace = opened(GIN.format(spelled) + "\n")
    assert (trace.format, trace.zoned) == ("ollama", False)
    assert rows(trace, "arrival_us", "latency_us") == [(END_US - latency_us, latency_us)]


@pytest.mark.parametrize(
    "wrapped",
    [
        "\x1b[32m{}\x1b[0m",
        "1月 19 13:23:45 node ollama[22]: {}",
        "janv. 19 13:23:45 node ollama[22]: {}",
        "ollama-1  | {}",
        "vllm-0 2026-01-19T13:23:45.5Z {}",
    ],
)
def test_what_stands_around_a_line(opened: Open, wrapped: str) -> None:
    assert rows(opened(wrapped.format(GIN.format("1s")) + "\n"), "latency_us") == [(1_000_000,)]


@pytest.mark.parametrize(
    ("prefix", "arrival_us", "zoned"),
    [
        ("2026-01-19T13:23:45.250000000Z ", END_US + 250_000, True),
        ("[2026-01-19 13:23:45] ", END_US, False),
        ("janv. 19 13:23:45 node vllm[22]: ", 948_288_225_000_000, False),
        ("1月 19 13:23:45 node vllm[22]: ", 948_288_225_000_000, False),
        ("", None, False),
    ],
)
def test_uvicorn_has_the_time_of_its_prefix(opened: Open, prefix: str, arrival_us: int | None, zoned: bool) -> None:
    trace = opened(f'{prefix}INFO:     172.17.0.1:56104 - "{CHAT}" 200 OK\n')
    assert (trace.format, trace.zoned) == ("uvicorn", zoned)
    assert rows(trace, "arrival_us", "status") == [(arrival_us, 200)]


def test_dockers_json_file_is_unwrapped(opened: Open) -> None:
    line = {"log": GIN.format("2s") + "\n", "stream": "stdout", "time": "2026-01-19T13:23:46.5Z"}
    trace = opened(json.dumps(line) + "\n")
    assert (trace.format, rows(trace, "arrival_us")) == ("ollama", [(END_US - 500_000,)])


SECRET = "my secret prompt"
VLLM = (
    "INFO {} [logger.py:39] Received request chatcmpl-1: prompt: '" + SECRET + " prompt_token_ids: [1, 2], ', params: "
    "SamplingParams(n=1), prompt_token_ids: {}, lora_request: None, prompt_adapter_request: None.\n"
)


def test_vllms_requests_have_arrivals_and_the_lengths_that_are_printed(opened: Open) -> None:
    text = VLLM.format("12-31 23:59:59", "[5, 6, 7]") + "INFO 12-31 23:59:59 [metrics.py:486] Avg prompt throughput\n"
    trace = opened(text + VLLM.format("01-01 00:00:01", "None"))
    assert (trace.format, trace.counts.other) == ("vllm-requests", 1)
    (first, second) = rows(trace, "arrival_us", "input_tokens")
    assert (second[0] - first[0], first[1], second[1]) == (2_000_000, 3, None)


def test_sglangs_finished_requests(opened: Open) -> None:
    line = (
        f"[2026-01-19 13:23:45 TP0] Finish: obj=GenerateReqInput(text='{SECRET} \\'prompt_tokens\\': 9'), "
        "out={'text': 'x', 'meta_info': {'prompt_tokens': 320, 'completion_tokens': 220, 'cached_tokens': 80, "
        "'e2e_latency': 8.5}}\n"
    )
    trace = opened(line)
    assert rows(trace, "arrival_us", "input_tokens", "output_tokens", "cached_tokens", "latency_us") == [
        (END_US - 8_500_000, 320, 220, 80, 8_500_000)
    ]


def test_tgis_answer_tokens_follow_from_its_times(opened: Open) -> None:
    trace = opened(
        '2026-01-19T13:23:45.000000Z  INFO generate{total_time="1.5s" validation_time="1µs" queue_time="1ms" '
        'inference_time="1.2s" time_per_token="12ms" seed="None"}: text_generation_router::server: s.rs:1: Success\n'
    )
    assert rows(trace, "output_tokens", "latency_us") == [(100, 1_500_000)]


LITELLM = {
    "startTime": "2026-01-19T13:23:45Z", "endTime": "2026-01-19T13:23:47Z",
    "completionStartTime": "2026-01-19T13:23:45.5Z",
    "prompt_tokens": 10, "completion_tokens": 20, "model": "r1", "status": "success", "messages": SECRET,
}  # fmt: skip


def test_litellms_rows_as_lines_as_an_array_and_with_a_prefix(opened: Open) -> None:
    whole = {**LITELLM, "completionStartTime": LITELLM["endTime"], "status": "failure"}
    limited = {**whole, "error_information": {"error_code": "429"}}
    lines = [json.dumps(line) for line in (LITELLM, whole, limited)]
    expected = [(END_US, 10, 20, 2_000_000, 500_000, 200), (END_US, 10, 20, 2_000_000, None, 500)]
    expected.append((END_US, 10, 20, 2_000_000, None, 429))
    for text in (
        "\n".join(lines),
        f"[{', '.join(lines)}]",
        "\n".join(f"2026-01-01T00:00:00Z {line}" for line in lines),
    ):
        trace = opened(text + "\n")
        assert trace.format == "litellm"
        columns = ("arrival_us", "input_tokens", "output_tokens", "latency_us", "ttft_us", "status")
        assert rows(trace, *columns) == expected


def test_ferrys_own_gateway_and_nginx_json(opened: Open) -> None:
    line = {"start_time": "2026-01-19T13:23:45.000Z", "method": "POST", "path": "/v1/completions", "status": 200}
    trace = opened(json.dumps({**line, "duration_ms": 1530, "first_byte_ms": 90}) + "\n")
    assert (trace.format, rows(trace, "arrival_us", "latency_us", "ttft_us")) == (
        "envoy-json",
        [(END_US, 1_530_000, 90_000)],
    )
    line = {"time_local": STAMP[1:-1], "request": CHAT, "status": "200", "request_time": "1.250"}
    trace = opened(json.dumps(line) + "\n")
    assert (trace.format, rows(trace, "arrival_us", "latency_us")) == ("nginx-json", [(END_US - 1_250_000, 1_250_000)])


@pytest.mark.parametrize(
    "time", ["1768829025", "1768829025000", "1768829025000000", "1768829025000000000", "2026-01-19T14:23:45+01:00"]
)
def test_a_column_map_reads_times_in_any_unit(opened: Open, time: str) -> None:
    columns = {"time": "when it came", "input_tokens": "in", "output_tokens": "out", "latency_s": "took"}
    trace = opened(f'when it came;in;out;took\n{time};7;8;"0,523"\n', columns=columns)
    assert rows(trace, "arrival_us", "input_tokens", "output_tokens", "latency_us") == [(END_US, 7, 8, 523_000)]


def test_nested_json_and_parquet_are_read_by_a_column_map(opened: Open, tmp_path: Path) -> None:
    line = json.dumps({"at": 3.5, "usage": {"in": 7, "out": 8}})
    columns = {"time_s": "at", "input_tokens": "usage.in", "output_tokens": "usage.out"}
    trace = opened(line + "\n", columns=columns)
    assert rows(trace, "arrival_us", "input_tokens", "output_tokens") == [(3_500_000, 7, 8)]
    path = tmp_path / "trace.parquet"
    duckdb.sql('SELECT TIMESTAMPTZ \'2026-01-19 14:23:45+01\' AS "t ""x", 7 AS a, 8 AS b').write_parquet(str(path))
    assert recognise(path) == "parquet"
    with open_trace(path, columns={"time": 't "x', "input_tokens": "a", "output_tokens": "b"}) as parquet:
        assert (rows(parquet, "arrival_us", "input_tokens"), parquet.zoned) == ([(END_US, 7)], True)


def test_burstgpt_counts_from_its_start(opened: Open) -> None:
    text = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,API log\n"
    trace = opened(text)
    assert (trace.format, rows(trace, "arrival_us", "input_tokens", "model")) == (
        "burstgpt",
        [(5_000_000, 472, "ChatGPT")],
    )


def test_arrays_are_in_order_and_refuse_what_is_missing(opened: Open) -> None:
    text = "time,input_tokens,output_tokens,status\n{}"
    both = "2026-01-19T13:23:46Z,3,4,200\n2026-01-19T13:23:45Z,1,2,200\n2026-01-19T13:23:45Z,,,429\n"
    arrays = opened(text.format(both)).arrays()
    assert (arrays.arrival_s.tolist(), arrays.input_tokens.tolist(), arrays.output_tokens.tolist()) == (
        [0, 1],
        [1, 3],
        [2, 4],
    )
    assert arrays.cached_tokens is None
    with pytest.raises(UnreadableInput, match="1 of 3 requests have no answer tokens"):
        opened(text.format(both + "2026-01-19T13:23:45Z,1,,200\n")).arrays()


@pytest.mark.parametrize(
    "text",
    [
        VLLM.format("01-01 00:00:61", "None"),
        f"{SECRET},{SECRET} too\n{SECRET},1\n",
        json.dumps({"messages": SECRET}) + "\n",
        f"time,input_tokens,output_tokens\n{SECRET},{SECRET},{SECRET}\n",
        json.dumps({**LITELLM, "prompt_tokens": SECRET}) + "\n",
    ],
)
def test_no_prompt_stands_in_a_message(opened: Open, text: str) -> None:
    with pytest.raises(FerryError) as refused:
        opened(text)
    assert "secret" not in str(refused.value)


def test_the_database_reads_no_other_file_and_leaves_nothing(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a\n1\n", encoding="utf-8")
    trace = opened(GIN.format("1s") + "\n")
    connection, folder = trace.database.connection, trace.database.folder
    for forbidden in (
        f"SELECT * FROM read_csv('{tmp_path / 'other.csv'}')",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ):
        with pytest.raises(duckdb.Error):
            connection.execute(forbidden)
    assert folder.exists()
    trace.close()
    assert not folder.exists()


def test_reading_makes_no_join_of_which_the_order_of_lines_would_be_lost(opened: Open) -> None:
    trace = opened(json.dumps(LITELLM) + "\n")
    macros = "given(x), moment_us(x, d, m), status_code(x, d), month_number(x), has_zone(x, d), comma_number(x)"
    plan = trace.database.rows(f"EXPLAIN SELECT {macros} FROM (SELECT model AS x, 1.0 AS d, status AS m FROM rows)")[0][
        1
    ]
    assert "join" not in plan.lower()
