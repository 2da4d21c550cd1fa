from __future__ import annotations

import pytest

from stacks.patch_sources import operating_system, patch_buckets, patch_tags
from stacks.settings import FleetSettings, GatewayTierSettings

DEEP_LEARNING = FleetSettings.model_fields["ami_parameter"].default
SNAPSHOTS = "patch-baseline-snapshot-"
AMAZON_LINUX = GatewayTierSettings.model_fields["ami_parameter"].default


@pytest.mark.parametrize(
    ("ami_parameter", "system"),
    [
        (DEEP_LEARNING, "UBUNTU"),
        (AMAZON_LINUX, "AMAZON_LINUX_2023"),
        ("/aws/service/deeplearning/ami/x86_64/gpu-amazon-linux-2023/latest/ami-id", "AMAZON_LINUX_2023"),
        ("/site/images/engine", None),
    ],
)  # fmt: skip
def test_an_image_says_its_operating_system_by_its_name_or_not_at_all(ami_parameter: str, system: str | None) -> None:
    assert operating_system(ami_parameter) == system


def test_nodes_are_tied_to_their_baseline_by_a_tag_and_those_of_an_unknown_system_are_not() -> None:
    assert patch_tags("prod", DEEP_LEARNING) == {"PatchGroup": "ferry-prod-ubuntu"}
    assert patch_tags("prod", AMAZON_LINUX) == {"PatchGroup": "ferry-prod-amazon-linux-2023"}
    assert patch_tags("prod", "/site/images/engine") == {}


@pytest.mark.parametrize(
    ("region", "given", "buckets"),
    [
        ("us-east-1", None, ["aws-patch-manager-us-east-1-1970c647d", "aws-ssm-us-east-1", f"{SNAPSHOTS}us-east-1"]),
        ("me-south-1", None, [
            "aws-patch-manager-me-south-1-a53fc9dce", "aws-ssm-me-south-1", f"{SNAPSHOTS}me-south-1-uduvl7q8",
        ]),
        ("cn-north-1", None, ["aws-ssm-cn-north-1", f"{SNAPSHOTS}cn-north-1"]),
        ("cn-north-1", "scripts", ["scripts", "aws-ssm-cn-north-1", f"{SNAPSHOTS}cn-north-1"]),
    ],
)  # fmt: skip
def test_a_scan_reads_these_buckets_of_aws(region: str, given: str | None, buckets: list[str]) -> None:
    assert patch_buckets(region, given) == buckets
