"""Reading Envoy's log while it grows, is rotated and is cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ferry.errors import UnreadableInput
from ferry.traffic.requests import Offset, Request, parse, read

ENTRY: dict[str, Any] = {
    "start_time": "2026-11-24T08:00:00.250Z", "request_id": "r1", "client": "10.0.0.1", "tenant": None, "subject": None,
    "token_id": None, "method": "POST", "path": "/v1/chat/completions", "protocol": "HTTP/1.1", "status": 200,
    "flags": "-", "details": "via_upstream", "route": "weights", "cluster": "cloud", "aimed": "cloud-then-local",
    "upstream": "10.0.0.2:443", "attempts": 1, "model_version": None, "streamed": True, "duration_ms": 1500,
    "first_byte_ms": 200, "prompt_tokens": 7, "completion_tokens": 41, "stream_end": "done", "bytes_received": 20,
    "bytes_sent": 4100, "finished": True,
}  # fmt: skip


def line(**changes: Any) -> str:
    return json.dumps(ENTRY | changes) + "\n"


def test_a_line_of_the_access_log_is_a_request() -> None:
    assert parse(line()) == Request(
        request_id="r1", start_s=1795507200.25, cluster="cloud", aimed="cloud-then-local", status=200,
        details="via_upstream", streamed=True, duration_ms=1500.0, first_byte_ms=200.0, completion_tokens=41,
        answer_bytes=4100,
    )  # fmt: skip
    request = parse(line())
    assert request is not None
    assert request.end_s == 1795507201.75


def test_in_the_upstream_log_the_answer_is_what_was_received() -> None:
    request = parse(line(mirrored=True, bytes_received=4100, bytes_sent=20))
    assert request is not None
    assert (request.mirrored, request.answer_bytes) == (True, 4100)


def test_what_envoy_does_not_know_is_none() -> None:
    unknown = {key: None for key in ENTRY if key not in {"start_time", "duration_ms", "bytes_sent"}}
    request = parse(line(**unknown | {"status": 0}))
    assert request is not None
    assert (request.status, request.first_byte_ms, request.completion_tokens, request.flags) == (None, None, None, None)
    assert (request.streamed, request.finished) == (False, False)


def test_numbers_and_truths_may_be_written_as_text() -> None:
    request = parse(line(duration_ms="1500", status="503", finished="false", streamed="true", flags="UC,URX"))
    assert request is not None
    assert (request.duration_ms, request.status, request.finished, request.streamed) == (1500.0, 503, False, True)
    assert request.flags == "UC,URX"


@pytest.mark.parametrize(
    "bad",
    [
        "", "{", "[]", "3", "null", '{"start_time": 5, "duration_ms": 1}', "[" * 100_000,
        line(duration_ms=None), line(duration_ms=-1), line(duration_ms=True), line(duration_ms="NaN"),
        line(start_time="yesterday"), line(start_time=None)
    ],
)  # fmt: skip
def test_a_line_that_is_no_request_is_counted_and_not_raised(tmp_path: Path, bad: str) -> None:
    assert parse(bad) is None
    log = tmp_path / "access.jsonl"
    log.write_text(line() + bad.rstrip("\n") + "\n" + line(), encoding="utf-8")
    reading = read(log)
    assert (len(reading.requests), reading.unreadable, reading.gap) == (2, 1, False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(ENTRY)), json_values))
@example({"status": 1e308})
@example({"completion_tokens": 10**400})
@example({"start_time": "9999-12-31T23:59:59+00:00"})
@example({"start_time": "0001-01-01T00:00:00+14:00"})
def test_no_values_of_any_kind_raise(changes: dict[str, Any]) -> None:
    request = parse(line(**changes))
    assert request is None or request.duration_ms >= 0


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    assert parse(data) is None or isinstance(parse(data), Request)


def test_only_what_is_new_is_read_and_only_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    half = line(request_id="r2")
    log.write_text(line() + half[:50])
    first = read(log)
    assert [one.request_id for one in first.requests] == ["r1"]
    assert first.offset.position == len(line())
    with log.open("a") as file:
        file.write(half[50:] + line(request_id="r3"))
    second = read(log, first.offset)
    assert [one.request_id for one in second.requests] == ["r2", "r3"]
    assert read(log, second.offset).requests == ()


def test_a_rotated_log_is_read_to_its_end_and_then_the_new_one(tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    log.write_text(line())
    offset = read(log).offset
    with log.open("a") as file:
        file.write(line(request_id="r2"))
    log.rename(tmp_path / "access.jsonl.1")
    (tmp_path / "access.jsonl.0").write_text(line(request_id="another"))
    assert read(log, offset).requests == ()  # not there yet: nothing is lost, and nothing read
    log.write_text(line(request_id="r3"))
    reading = read(log, offset)
    assert ([one.request_id for one in reading.requests], reading.gap) == (["r2", "r3"], False)
    assert read(log, reading.offset).requests == ()


def test_a_log_that_was_cut_or_is_gone_is_read_from_its_start_and_says_so(tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    log.write_text(line() + line())
    offset = read(log).offset
    log.write_text(line(request_id="r3"))
    reading = read(log, offset)
    assert ([one.request_id for one in reading.requests], reading.gap) == (["r3"], True)
    log.rename(tmp_path / "elsewhere")
    log.write_text(line(request_id="r4"))
    reading = read(log, reading.offset)
    assert ([one.request_id for one in reading.requests], reading.gap) == (["r4"], True)


def test_a_log_that_is_not_there_yet_is_empty_and_one_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    reading = read(tmp_path / "access.jsonl", Offset())
    assert (reading.requests, reading.offset) == ((), Offset())
    with pytest.raises(UnreadableInput, match=r"cannot be read: Is a directory; Envoy writes it, name a log file"):
        read(tmp_path)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["line", "half", "rotate", "read"]), max_size=25))
def test_however_writing_rotating_and_reading_fall_each_line_is_read_once(tmp_path: Path, steps: list[str]) -> None:
    log = tmp_path / "access.jsonl"
    for old in tmp_path.iterdir():
        old.unlink()
    log.touch()
    offset, found, written, rest, rotations = read(log).offset, [], 0, "", 0
    for step in [*steps, "finish", "read"]:
        if step in {"line", "half", "finish"}:
            text = rest or ("" if step == "finish" else line(request_id=str(written)))
            cut = len(text) // 2 if step == "half" and not rest else len(text)
            written += not rest and step != "finish"
            with log.open("a") as file:
                file.write(text[:cut])
            rest = text[cut:]
        elif step == "rotate" and not rest:  # Envoy opens a new file between two lines
            rotations += 1
            log.rename(tmp_path / f"access.jsonl.{rotations}")
            log.touch()
            # A reader that looks away for two rotations misses a file: it is told so, see above.
            reading = read(log, offset)
            offset, found = reading.offset, [*found, *reading.requests]
        elif step == "read":
            reading = read(log, offset)
            offset, found = reading.offset, [*found, *reading.requests]
            assert not reading.gap
    assert [one.request_id for one in found] == [str(number) for number in range(written)]
