"""How long a fleet's new nodes take: by what is provisioned, and by what could be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ferry.drills import boots
from ferry.drills.provisioned import Fleet
from ferry.drills.timings import Duration, Timings
from tests.fleets import FLEET, MIB, WEIGHTS, scene_in


def test_a_boot_is_the_sum_of_its_parts() -> None:
    cold = boots.supply(FLEET, WEIGHTS, Timings()).cold
    image = 25e9 / (500 * MIB)
    assert [duration.seconds for _, duration in cold.parts] == pytest.approx([180, image, 50, 50, 180])
    assert cold.seconds == pytest.approx(460 + image)


def test_a_node_of_the_warm_pool_only_starts_and_reads() -> None:
    supply = boots.supply(replace(FLEET, warm_pool=1), WEIGHTS, Timings())
    assert supply.warm.seconds == pytest.approx(410)
    assert [boot is supply.warm for boot in supply.boots(3)] == [True, False, False]


def test_a_volume_without_throughput_of_its_own_shows() -> None:
    slow = replace(FLEET, volume_bytes_per_s=125 * MIB)
    assert boots.supply(slow, WEIGHTS, Timings()).warm.seconds == pytest.approx(360 + 4 * 50)


def test_what_was_measured_takes_the_place_of_what_was_worked_out() -> None:
    measured = Duration(20, "measured", "timings.yaml")
    cold = boots.supply(FLEET, WEIGHTS, Timings(model=measured, load=measured, start=measured)).cold
    assert [duration.basis for _, duration in cold.parts] == ["measured", "assumed", "measured", "measured", "assumed"]


def test_a_warm_pool_is_no_choice_for_spot_nor_where_it_is_large_enough() -> None:
    def names(fleet: Fleet) -> list[str]:
        return [choice.what for choice in boots.choices(fleet, WEIGHTS, Timings(), 2)]

    assert names(FLEET)[0] == "a warm pool of 2 stopped nodes"
    assert names(replace(FLEET, warm_pool=2))[0] == "no warm pool"
    others = ["the model on g5.12xlarge's own NVMe (3800 GB)", "an engine image of 10 GB instead of 25"]
    assert names(replace(FLEET, spot_percent=50)) == others


def test_a_model_on_the_nodes_own_disk_is_fetched_and_read_at_its_rate() -> None:
    [_, nvme, _] = boots.choices(FLEET, WEIGHTS, Timings(), 2)
    rate = 2e9  # below the 4 GB/s of its network
    parts = [duration.seconds for _, duration in nvme.supply.cold.parts]
    assert parts[2:4] == pytest.approx([WEIGHTS.bytes / rate] * 2)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"boot_timeout_s": None, "health_check_type": "EC2"}, None),
        ({"boot_timeout_s": None, "grace_s": 900}, None),
        ({"boot_timeout_s": None}, "replaced 120 s later, before its 508 s of boot are over"),
        ({"boot_timeout_s": 600}, "a node needs 508 s and gives up after 480 s: set it to 780"),
    ],
)
def test_a_node_that_is_given_up_before_it_serves_is_a_problem(changes: dict[str, Any], says: str | None) -> None:
    fleet = replace(FLEET, **changes)
    problem = boots.problem(fleet, boots.supply(fleet, WEIGHTS, Timings()).cold)
    assert problem is None if says is None else says in str(problem)


@pytest.mark.parametrize(
    ("model", "quantization", "size", "says"),
    [
        ("deepseek-r1-distill-qwen-32b", None, 64e9, "32b in the model's name, 2 bytes a parameter"),
        ("qwen2.5-1.5b", None, 3e9, "1.5b in the model's name, 2 bytes a parameter"),
        ("qwen-14b-awq", "awq_marlin", 7.7e9, "14b in the model's name, 0.55 bytes a parameter"),
        ("deepseek-671b", "fp8", 671e9, "671b in the model's name, 1 bytes a parameter"),
        ("assistant", None, 4 * 22.35 * 2**30, "size unknown: all the memory of g5.12xlarge's accelerators"),
    ],
)
def test_the_size_of_a_model_comes_from_its_name_else_from_its_node(
    tmp_path: Path, model: str, quantization: str | None, size: float, says: str
) -> None:
    prod = scene_in(tmp_path)
    version = prod.settings.model_versions[0]
    engine = version.engine.model_copy(update={"quantization": quantization})
    named = version.model_copy(update={"model": model, "engine": engine})
    scene = replace(prod, settings=prod.settings.model_copy(update={"model_versions": [named]}))
    found = boots.weights_of(scene, FLEET)
    assert (found.bytes, found.source) == (pytest.approx(size), says)
    planned = replace(scene, weights={"r1-32b": 1e9})
    assert boots.weights_of(planned, FLEET) == boots.Weights(1e9, "the plan's model")
