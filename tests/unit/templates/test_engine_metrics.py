from __future__ import annotations

from typing import get_args

import pytest

from stacks.settings import EngineSettings
from templates.engine_metrics import DIMENSION, ENGINES, NAMESPACE, NODE_GAUGES


def test_every_engine_that_a_stack_may_name_has_metric_names() -> None:
    assert set(ENGINES) == set(get_args(EngineSettings.model_fields["name"].annotation))


def test_the_names_are_those_that_the_engines_expose() -> None:
    assert ENGINES["vllm"].gauges == (
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
    )
    assert ENGINES["sglang"].gauges == ("sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage")


@pytest.mark.parametrize("engine", ENGINES)
def test_no_histogram_is_expected_in_cloudwatch(engine: str) -> None:
    names = ENGINES[engine]
    assert {names.ttft_seconds, names.latency_seconds}.isdisjoint({*names.gauges, *NODE_GAUGES})


def test_namespace_and_dimension_are_the_contract_with_the_alarms() -> None:
    assert (NAMESPACE, DIMENSION) == ("Ferry/Inference", "AutoScalingGroupName")
