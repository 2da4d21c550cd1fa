from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferry.assess.prometheus import cluster_metrics, engine_metrics, engines_in, read
from ferry.assess.prometheus.reader import LARGEST_BYTES, parse
from ferry.assess.prometheus.series import Page
from ferry.errors import FerryError, UnreadableInput

PAGE = (
    b"# TYPE vllm:time_to_first_token_seconds histogram\n"
    b'vllm:time_to_first_token_seconds_bucket{le="0.1",model_name="m"} 5.0\n'
    b'vllm:time_to_first_token_seconds_bucket{le="1.0",model_name="m"} 90.0\n'
    b'vllm:time_to_first_token_seconds_bucket{le="+Inf",model_name="m"} 100.0\n'
    b'vllm:time_to_first_token_seconds_count{model_name="m"} 100.0\n'
    b'vllm:time_to_first_token_seconds_sum{model_name="m"} 40.0\n'
    b'vllm:num_requests_running{model_name="m"} 3.0\n'
    b'DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-1",Hostname="n"} 40\n'
    b"node_memory_MemTotal_bytes 1e9\nprocess_start_time_seconds 1.7e9\n"
)
ANSWER = (
    b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"vllm:num_requests_running",'
    b'"model_name":"m"},"values":[[1700000000,"1"],[1700000060.5,"2"]]},{"metric":{"__name__":"DCGM_FI_DEV_GPU_UTIL",'
    b'"gpu":"0","UUID":"GPU-1"},"values":[[1700000000,"1"],[1700000060,"2"]]}]}}'
)


def read_bytes(folder: Path, data: bytes) -> Page:
    (folder / "page").write_bytes(data)
    return read(folder / "page", "page")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (gzip.compress(PAGE, mtime=0), "is a gzip archive; unpack it"),
        (b"\x0a\x05\x00vllm", "is binary (Prometheus's protobuf format?)"),
        (b"x" * (LARGEST_BYTES + 1), "is larger than 32 MiB"),
        (b"", "is empty"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        read_bytes(tmp_path, data)
    assert str(refused.value).startswith(f"page: {why}")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_damage(tmp_path: Path, encoding: str) -> None:
    assert len(read_bytes(tmp_path, PAGE.decode().encode(encoding)).series) == 9


def test_line_ends_of_windows_are_read() -> None:
    page = parse(PAGE.decode().replace("\n", "\r\n"), "page")
    assert (len(page.series), page.findings) == (9, [])


def test_what_never_ends_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/zero"), tmp_path / "pipe", tmp_path):
        with pytest.raises(UnreadableInput, match="is not a regular file"):
            read(path, "page")
    with pytest.raises(UnreadableInput, match="page: cannot be read: No such file"):
        read(tmp_path / "none", "page")


def test_a_line_of_30_megabytes_is_passed_over_in_a_second() -> None:
    page = parse(PAGE.decode() + 'vllm:num_requests_waiting{a="' + "x" * 30_000_000 + '"} 1\n', "page")
    assert (len(page.series), [finding.where for finding in page.findings]) == (9, ["page:11"])


def everything(data: bytes) -> None:
    """All that Ferry does with a page, whatever it holds."""
    page = parse(data.decode("utf-8-sig", "replace"), "page")
    for engine in engines_in(page.series):
        engine_metrics([page, page], engine=engine, source="page", time_zone="Asia/Kolkata")
    cluster_metrics([page], source="page", time_zone="America/New_York").metrics.model_dump_json()


def outcome(data: bytes) -> str:
    try:
        everything(data)
    except FerryError as error:
        return str(error)
    return ""


FUZZ = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@FUZZ
@given(
    source=st.sampled_from([PAGE, ANSWER]),
    cuts=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 60), st.binary(max_size=12)), min_size=1, max_size=4),
)
def test_no_damage_ends_in_a_traceback(source: bytes, cuts: list[tuple[int, int, bytes]]) -> None:
    for at, length, junk in cuts:
        source = source[:at] + junk + source[at + length :]
    assert "\n" not in outcome(source)


@FUZZ
@given(source=st.sampled_from([PAGE, ANSWER]), at=st.integers(0, 900), bit=st.integers(0, 7))
def test_no_flipped_bit_ends_in_a_traceback(source: bytes, at: int, bit: int) -> None:
    place = at % len(source)
    assert "\n" not in outcome(source[:place] + bytes([source[place] ^ (1 << bit)]) + source[place + 1 :])


@FUZZ
@given(
    source=st.sampled_from([PAGE, ANSWER]),
    number=st.sampled_from(["9" * 400, "1e999", "-1e308", "NaN", "-Inf", "0x1p4", "1e-400", "9223372036854775807"]),
    which=st.integers(0, 12),
)
def test_no_huge_number_ends_in_a_traceback(source: bytes, number: str, which: int) -> None:
    numbers = [
        b" 5.0",
        b" 90.0",
        b" 100.0",
        b" 40.0",
        b" 3.0",
        b" 40\n",
        b"1e9",
        b"1.7e9",
        b'"1"',
        b"1700000000",
        b'"+Inf"',
    ]
    old = numbers[which % len(numbers)]
    new = number.encode() if not old.startswith(b'"') else b'"' + number.encode() + b'"'
    assert "\n" not in outcome(source.replace(old, b" " + new + (b"\n" if old.endswith(b"\n") else b"")))
