"""What AWS, or the road, refuses of a gateway in the cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from stacks.settings import GatewayTierSettings, Settings, gateway_group_name

STACK = Path(__file__).parents[3] / "stacks" / "Pulumi.prod.yaml"
RECORD = {"zone_id": "Z1", "name": "api.example.com", "home_address": "203.0.113.10"}


def settings(**tier: Any) -> Settings:
    config = yaml.safe_load(STACK.read_text(encoding="utf-8"))["config"]
    return Settings.from_config(config | {"ferry:gateway_tier": {"image": "envoy:v1.40.0"} | tier})


def test_a_tier_is_two_small_gateways_that_nobody_reaches_until_it_is_said() -> None:
    tier = settings().gateway_tier
    assert tier is not None
    assert (tier.instance_type, tier.min_size, tier.max_size) == ("m6a.large", 2, 4)
    assert (tier.allowed_cidrs, tier.record, tier.home_engine) == ([], None, None)
    assert gateway_group_name("prod") == "ferry-prod-gateway-tier"


@pytest.mark.parametrize(
    ("tier", "said"),
    [
        ({"min_size": 1}, "greater than or equal to 2"),
        ({"min_size": 5}, "group-sizes"),
        ({"instance_type": "m7g.large"}, "gateway-tier-architecture"),
        ({"ami_parameter": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"}, "x86_64"),
        ({"home_engine": "gpu-1.site.example:8000"}, "gateway-tier-home"),
        ({"home_engine": "8.8.8.8:8000"}, "gateway-tier-home"),
        ({"record": RECORD}, "gateway-tier-certificate"),
        ({"record": RECORD | {"name": "llm.example.com"}}, "gateway-tier-loop"),
        ({"domain_name": "api.example.com", "record": RECORD | {"weight": 101}}, "less than or equal to 100"),
        (
            {"domain_name": "*.example.com", "record": RECORD | {"home_address": "1.2.3.400"}},
            "gateway-tier-home-record",
        ),
    ],
)
def test_what_could_not_run_is_refused(tier: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(**tier)


@pytest.mark.parametrize("domain_name", ["api.example.com", "*.example.com"])
def test_a_certificate_for_the_clients_name_or_a_wildcard_above_it_will_do(domain_name: str) -> None:
    assert settings(domain_name=domain_name, home_engine="10.1.2.3:8000", record=RECORD).gateway_tier is not None
    assert settings(instance_type="g5.xlarge").gateway_tier is not None


def confidential(region: str, instance_type: str) -> GatewayTierSettings:
    config = yaml.safe_load(STACK.read_text(encoding="utf-8"))["config"]
    config["aws:region"], config["ferry:model_repository"] = region, {}
    config.pop("ferry:failover", None)  # it needs the replica
    tier = {"image": "envoy:v1.40.0", "confidential": True, "instance_type": instance_type}
    found = Settings.from_config(config | {"ferry:gateway_tier": tier}).gateway_tier
    assert found is not None
    return found


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-2"])
@pytest.mark.parametrize("instance_type", ["m6a.large", "m6a.8xlarge", "c6a.16xlarge", "r6a.4xlarge"])
def test_a_tier_may_be_confidential_where_sev_snp_exists(region: str, instance_type: str) -> None:
    assert confidential(region, instance_type).confidential


@pytest.mark.parametrize(
    ("region", "instance_type", "said"),
    [
        ("us-east-2", "m6a.12xlarge", "allowed of m6a are large, xlarge, 2xlarge, 4xlarge, 8xlarge:"),
        ("us-east-2", "r6a.metal", "allowed of r6a are large, xlarge, 2xlarge, 4xlarge:"),
        ("us-east-2", "c7a.large", "asked of c7a.large, allowed are m6a, c6a, r6a"),
        ("eu-west-1", "g5.xlarge", r"\(no GPU instance has it\)"),
        ("us-east-1", "m6a.large", "asked for in us-east-1, allowed are eu-west-1 and us-east-2:"),
    ],
)
def test_sev_snp_is_refused_where_aws_does_not_have_it(region: str, instance_type: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        confidential(region, instance_type)


def test_the_mainland_has_no_confidential_tier_and_the_refusal_says_so() -> None:
    config = yaml.safe_load(STACK.with_name("Pulumi.prod-cn.yaml").read_text(encoding="utf-8"))["config"]
    with pytest.raises(ValidationError, match=r"cn-.*none of the mainland's has it.*set confidential to false"):
        Settings.from_config(config | {"ferry:gateway_tier": {"image": "envoy:v1.40.0", "confidential": True}})


def test_no_model_version_takes_the_name_of_the_group() -> None:
    config = yaml.safe_load(STACK.read_text(encoding="utf-8"))["config"]
    config["ferry:model_versions"][0]["name"] = "gateway-tier"
    with pytest.raises(ValidationError, match="gateway-tier-name"):
        Settings.from_config(config | {"ferry:gateway_tier": {"image": "envoy:v1.40.0"}})
