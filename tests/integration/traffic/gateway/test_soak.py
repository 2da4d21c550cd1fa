"""What takes minutes, with FERRY_SOAK only."""

from __future__ import annotations

import os
import time

import pytest

from tests.gateways import Site

pytestmark = pytest.mark.skipif("FERRY_SOAK" not in os.environ, reason="takes three minutes: make soak")


def test_a_stream_of_three_minutes_that_pauses_for_ninety_seconds_is_whole(site: Site) -> None:
    site.local.answer, site.local.pause_seconds = "stream", 90
    began = time.monotonic()
    answer = site.gateway.post()
    assert time.monotonic() - began > 180
    assert (answer.status, answer.whole) == (200, True)
    assert answer.body.endswith("data: [DONE]\n\n")
    (line,) = site.lines(1)
    assert (line["finished"], line["stream_end"]) == (True, "done")
    assert line["duration_ms"] > 180_000
