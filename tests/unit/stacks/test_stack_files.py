from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from stacks import schema
from stacks.settings import Settings

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = ["dev", "prod", "prod-cn", "staging"]


def stack_file(environment: str) -> Path:
    return ROOT / "stacks" / f"Pulumi.{environment}.yaml"


def document(environment: str = "prod") -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(stack_file(environment).read_text(encoding="utf-8"))
    return loaded


def valid(stack: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(schema.stack_file_schema()).is_valid(stack)


def settings(environment: str) -> Settings:
    return Settings.load(stack_file(environment))


def test_these_four_stacks_ship() -> None:
    assert sorted((ROOT / "stacks").glob("Pulumi.*.yaml")) == sorted(map(stack_file, ENVIRONMENTS))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_stack_is_accepted_by_the_settings_and_by_the_schema(environment: str) -> None:
    assert settings(environment).environment == environment
    jsonschema.validate(document(environment), schema.stack_file_schema())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_stack_tells_editors_its_schema(environment: str) -> None:
    first = stack_file(environment).read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=schema.json"


def test_the_schema_file_is_up_to_date() -> None:
    assert schema.PATH.read_text(encoding="utf-8") == schema.text(), "write it anew: python -m stacks.schema"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.stack_file_schema())
    assert json.loads(schema.text()) == schema.stack_file_schema()


def test_the_schema_refuses_an_unknown_key_of_ferry() -> None:
    stack = document()
    stack["config"]["ferry:nonsense"] = 1
    assert not valid(stack)


def test_the_schema_refuses_an_unknown_key_of_a_section() -> None:
    stack = document()
    stack["config"]["ferry:gateway"]["allowed_cidr"] = "203.0.113.10/32"
    assert not valid(stack)


def test_the_schema_leaves_other_namespaces_and_keys_of_pulumi_alone() -> None:
    stack = document()
    stack["config"]["aws:profile"] = "site"
    stack |= {"encryptionsalt": "v1:abc", "secretsprovider": "awskms://alias/ferry"}
    assert valid(stack)


@pytest.mark.parametrize("key", ["aws:region", "ferry:environment", "ferry:model_versions", "ferry:gateway"])
def test_the_schema_wants_what_has_no_default(key: str) -> None:
    stack = document()
    del stack["config"][key]
    assert not valid(stack)


# ---- Pulumi.yaml ---------------------------------------------------------------------------------------------------


def declared() -> dict[str, Any]:
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
    config: dict[str, Any] = project["config"]
    return config


def test_the_project_declares_exactly_the_keys_of_the_settings() -> None:
    assert list(declared()) == [name for name in Settings.model_fields if name != "region"]


def test_the_project_requires_exactly_what_the_settings_require() -> None:
    required = [name for name, key in declared().items() if "default" not in key]
    assert required == [
        name for name, field in Settings.model_fields.items() if field.is_required() and name != "region"
    ]


def test_the_project_declares_types_that_fit_the_settings() -> None:
    pulumi_types = {"string": "string", "array": "array", "object": "object"}
    properties = Settings.model_json_schema()["properties"]
    for name, key in declared().items():
        expected = properties[name].get("type", "object")  # a section is a reference or may be left out
        assert (name, key["type"]) == (name, pulumi_types[expected])


def test_the_defaults_that_pulumi_fills_in_change_nothing() -> None:
    config = document("dev")["config"]
    filled = {f"ferry:{name}": json.dumps(key["default"]) for name, key in declared().items() if "default" in key}
    assert Settings.from_config(filled | config) == settings("dev")
    assert filled["ferry:node_bundle"] == "{}"


# ---- what the stacks differ in -------------------------------------------------------------------------------------


def test_only_dev_can_be_destroyed() -> None:
    assert {environment: settings(environment).audit.mode for environment in ENVIRONMENTS} == {
        "dev": "disposable",
        "staging": "COMPLIANCE",
        "prod": "COMPLIANCE",
        "prod-cn": "COMPLIANCE",
    }


def test_no_production_stack_buys_spot() -> None:
    for environment in ("prod", "prod-cn"):
        assert [version.fleet.spot_percentage for version in settings(environment).model_versions] == [0]


def test_staging_compares_two_versions_at_90_to_10() -> None:
    assert [version.weight for version in settings("staging").model_versions] == [90, 10]


def test_production_scales_by_the_rule_of_the_article() -> None:
    (version,) = settings("prod").model_versions
    scaling = version.fleet.scaling
    assert (scaling.scale_out_above, scaling.scale_out_add) == (0.8, 2)
    assert (scaling.scale_in_below, scaling.scale_in_remove) == (0.3, 1)


def test_the_chinese_stack_stays_in_its_partition() -> None:
    stack = settings("prod-cn")
    assert (stack.partition, stack.region, stack.model_repository.replica_region) == (
        "aws-cn",
        "cn-north-1",
        "cn-northwest-1",
    )
    assert stack.tags["mlps-level"] == "3"


def test_no_stack_lets_everybody_in() -> None:
    assert not any("0.0.0.0/0" in settings(environment).gateway.allowed_cidrs for environment in ENVIRONMENTS)


# ---- rules of the gateway and the budget ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "section", "key", "value", "message"),
    [
        ("prod-cn", "monitoring", "monthly_budget_usd", 100, "both monthly_budget_usd and monthly_budget_cny are set"),
        ("prod", "monitoring", "monthly_budget_cny", 100, "both monthly_budget_usd and monthly_budget_cny are set"),
        ("prod", "gateway", "version_header", "Host", "version_header is 'Host'"),
        ("prod", "gateway", "version_header", "x" * 41, "version_header is 'xxxxx"),
        ("prod", "gateway", "version_header", "x header", "version_header is 'x header'"),
    ],
)
def test_what_aws_would_refuse_of_the_gateway_and_the_budget_is_refused(
    environment: str, section: str, key: str, value: object, message: str
) -> None:
    config = document(environment)["config"]
    config[f"ferry:{section}"][key] = value
    with pytest.raises(ValidationError, match=message):
        Settings.from_config(config)


@pytest.mark.parametrize(
    ("environment", "currency", "message"),
    [
        (
            "prod-cn",
            "usd",
            "monthly_budget_usd is set in cn-north-1, allowed is monthly_budget_cny: convert the amount",
        ),
        ("prod", "cny", "monthly_budget_cny is set in us-east-1, allowed is monthly_budget_usd: convert"),
    ],
)
def test_a_budget_is_in_the_currency_of_the_account(environment: str, currency: str, message: str) -> None:
    config = document(environment)["config"]
    config["ferry:monitoring"] = {f"monthly_budget_{currency}": 100}
    with pytest.raises(ValidationError, match=message):
        Settings.from_config(config)


def test_a_token_setting_longer_than_the_load_balancer_takes_is_refused() -> None:
    config = document("prod")["config"]
    config["ferry:gateway"]["jwt"]["issuer"] = "https://" + "i" * 249
    with pytest.raises(ValidationError, match=r"gateway.jwt.issuer: 257 characters, allowed are 256"):
        Settings.from_config(config)
