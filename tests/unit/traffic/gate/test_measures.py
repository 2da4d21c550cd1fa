from __future__ import annotations

from typing import Any

import pytest

from ferry.traffic.gate.measures import MEASURES, NOTHING, measure
from ferry.traffic.requests import Request

HANG_MS = 30_000


def measured(**fields: Any) -> dict[str, float]:
    values = {"start_s": 0.0, "duration_ms": 1000.0, "status": 200} | fields
    (request,) = [measure([Request(**values)], HANG_MS)]
    return {name: float(request.values(name)[0]) for name in MEASURES if request.count(name)}


@pytest.mark.parametrize(
    ("fields", "failure"),
    [
        ({"status": 500}, "errors"),
        ({"status": 503, "finished": False}, "errors"),
        ({"status": None, "flags": "UF"}, "errors"),
        ({"aimed": "cloud-then-local", "cluster": "local"}, "errors"),
        ({"finished": False}, "truncated"),
        ({"status": 404, "completion_tokens": 5}, "refused"),
        ({"status": 401, "finished": False}, "refused"),
        ({"finished": False, "streamed": True, "first_byte_ms": 10.0, "flags": "UC"}, "truncated"),
        ({"finished": False, "flags": "DC"}, "abandoned"),
        ({"status": None, "flags": "DC"}, "abandoned"),
        ({"finished": False, "flags": "UC,DR"}, "abandoned"),
        ({"status": None, "flags": "DC", "duration_ms": 30_000.0}, "hangs"),
        ({"status": 504, "duration_ms": 40_000.0}, "hangs"),
        ({"streamed": True, "first_byte_ms": 31_000.0, "duration_ms": 40_000.0}, "hangs"),
    ],
)
def test_a_request_fails_in_one_way_only(fields: dict[str, Any], failure: str) -> None:
    assert measured(**fields) == {failure: 1.0}


def test_a_stream_has_a_time_to_its_first_token_and_one_a_token_after_it() -> None:
    found = measured(streamed=True, first_byte_ms=200.0, completion_tokens=41, answer_bytes=400)
    assert found == {"ttft": 200.0, "tpot": 20.0, "tpot_bytes": 2.0}
    assert measured(streamed=True, first_byte_ms=200.0, completion_tokens=1) == {"ttft": 200.0}
    assert measured(streamed=True, first_byte_ms=200.0) == {"ttft": 200.0}


def test_a_whole_answer_has_a_time_a_token() -> None:
    found = measured(first_byte_ms=990.0, completion_tokens=50, answer_bytes=500)
    assert found == {"token_time": 20.0, "token_time_bytes": 2.0}


def test_a_long_answer_that_is_not_streamed_does_not_hang() -> None:
    assert measured(first_byte_ms=59_000.0, duration_ms=60_000.0, completion_tokens=6) == {"token_time": 10_000.0}


def test_an_answer_by_the_side_that_was_chosen_is_no_error() -> None:
    assert measured(aimed="cloud-then-local", cluster="cloud") == {}
    assert measured(aimed="r2", cluster="r2") == {}
    assert measured(aimed="cloud", cluster="cloud") == {}


def test_requests_are_kept_in_the_order_in_which_they_ended_and_can_be_parted_and_joined() -> None:
    one, two, three = (
        Request(start_s=float(start), duration_ms=duration, status=status)
        for start, duration, status in ((1, 5000.0, 500), (2, 1000.0, 200), (3, 4000.0, 503))
    )
    whole = measure([one, two, three], HANG_MS)
    assert whole.ends_s.tolist() == [3.0, 6.0, 7.0]
    assert whole.measures["errors"].at.tolist() == [1, 2]
    first, rest = whole.part(0, 2), whole.part(2, 3)
    assert (first.count("errors"), rest.count("errors"), rest.measures["errors"].at.tolist()) == (1, 1, [0])
    again = first.followed_by(rest)
    assert again.measures["errors"].at.tolist() == [1, 2]
    assert again.ends_s.tolist() == whole.ends_s.tolist()
    assert NOTHING.followed_by(whole) is whole
    assert whole.followed_by(NOTHING) is whole
