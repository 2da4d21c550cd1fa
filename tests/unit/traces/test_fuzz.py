"""Whatever a file holds: a trace, or a refusal on one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferry.errors import FerryError, UnreadableInput
from ferry.traces import open_trace, recognise, statistics

GOOD = (
    b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9,396,109\n",
    b'{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}\n' * 2,
    b'1.1.1.1 - - [19/Jan/2026:14:23:45 +0100] "POST /v1/completions HTTP/1.1" 200 1 "-" "-" rt=2.341 urt="2.339"\n'
    * 2,
    b'[GIN] 2026/01/19 - 13:23:45 | 200 | 1m43s | ::1 | POST "/api/chat"\n' * 2,
    b'[{"startTime": "2026-01-19T13:23:45Z", "endTime": 1768829025, "prompt_tokens": 1, "completion_tokens": 2}]',
)
OPTIONS = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path: Path, content: bytes) -> str:
    """What is said, '' for a trace."""
    path.write_bytes(content)
    try:
        recognise(path)
        with open_trace(path) as trace:
            statistics.of(trace)
    except FerryError as error:
        return str(error)
    return ""


@OPTIONS
@given(
    good=st.sampled_from(GOOD),
    cut=st.integers(0, 300),
    flips=st.lists(st.tuples(st.integers(0, 299), st.integers(1, 255)), max_size=3),
    more=st.one_of(
        st.binary(max_size=40), st.sampled_from([b"\x00" * 9, b"9" * 400, b"\xff\xfe\n", b'"', b"{" * 3000, b"["])
    ),
)
def test_damage_ends_in_a_trace_or_in_one_line(
    tmp_path: Path, good: bytes, cut: int, flips: list[tuple[int, int]], more: bytes
) -> None:
    content = bytearray(good[:cut] + more + good[cut:])
    for place, bits in flips:
        content[place % len(content)] ^= bits
    message = read(tmp_path / "log", bytes(content))
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x1f\x8b" + bytes(50), "is a gzip archive; unpack it"),
        (b"PK\x03\x04" + bytes(50), "is a zip archive; unpack it"),
        ("time,a\n1,2\n".encode("utf-16"), "is UTF-16 text; convert it"),
        (b"PAR1" + bytes(80) + b"PAR1", "is damaged, or not of the format that it was taken for"),
        (b"   \n\n", "the trace has no requests: the file is empty"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(UnreadableInput, match=says) as refused:
        open_trace(path)
    assert "\n" not in str(refused.value)


def test_folders_devices_pipes_and_missing_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "pipe", tmp_path / "missing"):
        with pytest.raises(UnreadableInput, match=r"is not a regular file|cannot be read: No such file"):
            recognise(path)


def test_a_line_of_a_hundred_megabytes_is_one_damaged_row(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.write(GOOD[3])
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + GOOD[3])
    seen: list[tuple[int, int]] = []
    with open_trace(path, progress=lambda done, whole: seen.append((done, whole))) as trace:
        assert (trace.counts.requests, trace.counts.damaged, trace.counts.damaged_at) == (4, 1, ("line 3",))
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)
