"""What the toolkit reads from a stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

EXPORTS = {
    *("environment", "region", "vpc_id", "public_subnet_ids", "private_subnet_ids", "model_bucket", "model_key_arn"),
    *("audit_bucket", "audit_key_arn", "access_log_bucket", "trail_arn", "notification_topic_arn"),
    *("load_balancer_arn", "gateway_dns_name", "listener_arn", "target_group_arns", "group_names"),
    *("launch_template_ids", "dashboard_name", "patch_window_id"),
}
TIER = {f"gateway_tier_{name}" for name in ("dns_name", "door_arn", "load_balancer_arn", "group_name")}


@pytest.mark.parametrize("environment", ["dev", "staging", "prod", "prod-cn"])
def test_the_toolkit_finds_what_it_needs_among_the_exports(rehearsed: Callable[[str], Any], environment: str) -> None:
    outputs = rehearsed(environment).stack.outputs
    replica = {"model_replica_bucket"} if environment.startswith("prod") else set()
    only_prod = {"failover", *TIER} if environment == "prod" else set()
    assert set(outputs) == EXPORTS | replica | only_prod
    assert outputs["environment"] == environment
