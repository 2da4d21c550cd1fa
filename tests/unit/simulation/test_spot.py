"""When Spot Instances are taken back: recorded, or with a rate."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ferry.errors import InvalidField, UnreadableInput
from ferry.simulation.spot import MONTHLY_SHARE, Recording, hazard_per_hour, poisson, read_recording


def recording(*counts: int, gap_seconds: float = 100) -> Recording:
    return Recording.model_validate({"metadata": {"gap_seconds": gap_seconds}, "data": list(counts)})


def test_each_fall_of_the_count_interrupts_whoever_is_beyond_what_is_left() -> None:
    found = recording(4, 4, 2, 3, 3, 0).interruptions(instances=4, horizon_s=600)
    assert found.time_s.tolist() == [200, 200, 500, 500, 500]
    assert found.slot.tolist() == [2, 2, 0, 0, 0]


def test_a_run_may_start_in_the_middle_of_a_recording() -> None:
    found = recording(4, 4, 2, 3, 3, 0).interruptions(instances=4, horizon_s=300, offset_s=250)
    assert found.time_s.tolist() == [250] * 3


def test_a_recording_that_is_too_short_or_saw_too_few_is_refused() -> None:
    with pytest.raises(InvalidField, match=r"lasts 300 s, asked for are 200 s from 200 s on; choose a longer"):
        recording(1, 0, 1).interruptions(instances=1, horizon_s=200, offset_s=200)
    with pytest.raises(InvalidField, match="saw up to 1 instances, the fleet may have 4 on the spot market"):
        recording(1, 0, 1).interruptions(instances=4, horizon_s=300)


def test_the_rate_of_a_recording_counts_interruptions_in_the_hours_that_instances_ran() -> None:
    """Three lost in (4 + 4 + 2) x 0.5 hours."""
    assert recording(4, 4, 2, 1, gap_seconds=1800).per_hour() == 3 / 5
    with pytest.raises(InvalidField, match="no instance ever ran"):
        recording(0, 0).per_hour()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "valid dictionary"),
        ('{"data": [1, 0]}', "metadata: Field required"),
        ('{"metadata": {"gap_seconds": 0}, "data": [1, 0]}', r"metadata\.gap_seconds: .*greater than 0"),
        ('{"metadata": {"gap_seconds": 9}, "data": [1, -1]}', r"data\.1: .*greater than or equal to 0"),
        ('{"metadata": {"gap_seconds": 9}, "data": [1, 0.5]}', r"data\.1: .*valid integer"),
        ('{"metadata": {"gap_seconds": 9}, "data": [1]}', "at least 2 items"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "spot.json"
    path.write_text(text)
    with pytest.raises(UnreadableInput, match=message) as caught:
        read_recording(path)
    assert str(caught.value).startswith(str(path))
    with pytest.raises(UnreadableInput, match="cannot be read"):
        read_recording(tmp_path / "none.json")


@pytest.mark.parametrize("share", [*MONTHLY_SHARE["p4d"], *MONTHLY_SHARE["p5"]])
def test_an_hourly_hazard_loses_the_monthly_share_within_a_month(share: float) -> None:
    assert 1 - math.exp(-730 * hazard_per_hour(share)) == pytest.approx(share, rel=1e-12)


def test_ten_percent_a_month_is_one_interruption_in_6929_hours() -> None:
    assert 1 / hazard_per_hour(0.10) == pytest.approx(6928.6, abs=0.1)
    for share in (1.0, -0.1, math.nan):
        with pytest.raises(InvalidField, match="allowed is 0 up to, not including, 1"):
            hazard_per_hour(share)


def test_random_interruptions_are_the_same_for_a_seed() -> None:
    one, same, other = (poisson(per_hour=1, instances=4, horizon_s=86_400, seed=seed) for seed in (7, 7, 8))
    assert one.time_s.tolist() == same.time_s.tolist()
    assert one.slot.tolist() == same.slot.tolist()
    assert one.time_s.tolist() != other.time_s.tolist()


def test_random_interruptions_come_at_the_rate_and_hit_every_slot_alike() -> None:
    """10 instances x 1,000 h x 0.5 are 5,000; three standard deviations are 212 of all and 67 of a slot."""
    found = poisson(per_hour=0.5, instances=10, horizon_s=3_600_000, seed=1)
    assert abs(len(found.time_s) - 5000) < 212
    assert np.abs(np.bincount(found.slot, minlength=10) - 500).max() < 67
    assert (np.diff(found.time_s) >= 0).all()
    gaps = np.diff(found.time_s)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.05)  # exponential


def test_no_rate_no_instances_or_no_time_means_no_interruptions() -> None:
    for per_hour, instances, horizon_s in ((0.0, 4, 100.0), (1.0, 0, 100.0), (1.0, 4, 0.0)):
        found = poisson(per_hour=per_hour, instances=instances, horizon_s=horizon_s, seed=1)
        assert (len(found.time_s), len(found.slot)) == (0, 0)
    with pytest.raises(InvalidField, match="rate per hour is nan"):
        poisson(per_hour=math.nan, instances=1, horizon_s=1, seed=1)


@pytest.mark.shared
def test_every_recorded_trace_is_read_and_loses_what_its_counts_lose(shared: Path) -> None:
    files = sorted((shared / "traces" / "spot-traces").rglob("*.json"))
    assert len(files) > 20
    for file in files:
        trace = read_recording(file)
        counts = json.loads(file.read_text())["data"]
        falls = sum(max(a - b, 0) for a, b in pairwise(counts))
        assert len(trace.interruptions(instances=max(counts), horizon_s=trace.seconds).time_s) == falls


@pytest.mark.shared
def test_v100_of_2023_were_lost_far_more_often_than_the_advisors_bands_say(shared: Path) -> None:
    folder = shared / "traces" / "spot-traces" / "preemption" / "4-node" / "aws-08-03-2023"
    rate = read_recording(folder / "us-east-2a_v100_1.json").per_hour()
    assert rate > 10 * hazard_per_hour(0.20)
