"""The rules as Pulumi hands them resources: properties that are not known yet, references by URN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pulumi.runtime import set_all_config
from pulumi.runtime.config import CONFIG
from pulumi_policy import (
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError, unknown_checking_proxy

from ferry.compliance import RULES
from ferry.compliance.pack import policies
from tests.plans import config

UNKNOWN = UNKNOWN_STRING_VALUE
OPTIONS = PolicyResourceOptions(True, [], False, [], None, None)  # type: ignore[arg-type]
BUCKET = "aws:s3/bucket:Bucket"
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"


@pytest.fixture(autouse=True)
def stack_config() -> Iterator[None]:
    before = dict(CONFIG.get())
    given = config(audit={"mode": "COMPLIANCE"})
    set_all_config(
        {key: value if isinstance(value, str) else __import__("json").dumps(value) for key, value in given.items()}
    )
    yield
    set_all_config(before)


@pytest.fixture
def violations() -> Callable[..., list[tuple[str, str | None]]]:
    def run(rule: str, *resources: PolicyResource) -> list[tuple[str, str | None]]:
        said: list[tuple[str, str | None]] = []
        policy: Any = next(one for one in policies() if one.name == rule)
        if isinstance(policy, StackValidationPolicy):
            policy.validate(StackValidationArgs(list(resources)), lambda text, urn=None: said.append((text, urn)))
        for one in resources if isinstance(policy, ResourceValidationPolicy) else ():
            args = ResourceValidationArgs(one.resource_type, one.props, one.urn, one.name, one.opts, None, None)  # type: ignore[arg-type]
            policy.validate(args, lambda text, urn=None: said.append((text, urn)))
        return said

    return run


def resource(type_: str, name: str, properties: dict[str, Any], **depends: list[PolicyResource]) -> PolicyResource:
    props = unknown_checking_proxy(properties)
    return PolicyResource(type_, props, f"urn:{name}", name, OPTIONS, None, None, [], depends)


def test_each_rule_is_a_policy_of_the_pack() -> None:
    made = policies()
    assert [one.name for one in made] == list(RULES)
    assert all(one.framework and one.framework.version == "GB/T 22239-2019" for one in made)


def test_a_violation_says_what_is_wrong_the_remedy_and_the_clause(violations: Callable[..., Any]) -> None:
    key = resource("aws:kms/key:Key", "models", {"enableKeyRotation": False})
    assert violations("kms-key-rotates", key) == [
        (
            "aws:kms/key:Key models has enableKeyRotation false: set enableKeyRotation to true "
            "(GB/T 22239-2019 8.1.4.8 b, 8.2.4.5 d)",
            None,
        )
    ]


def test_a_bucket_of_a_preview_is_known_by_its_urn(violations: Callable[..., Any]) -> None:
    bucket = resource(BUCKET, "models", {"bucket": UNKNOWN})
    policy = resource("aws:s3/bucketPolicy:BucketPolicy", "policy", {"bucket": UNKNOWN}, bucket=[bucket])
    # The name is taken from the policy, which takes it from the bucket.
    state = {"versioningConfiguration": {"status": "Enabled"}, "bucket": UNKNOWN}
    versioning = resource(VERSIONING, "versioning", state, bucket=[policy])
    assert violations("bucket-versioned", bucket, policy, versioning) == []
    (violation,) = violations("bucket-versioned", bucket, policy)
    assert violation[1] == "urn:models"


def test_after_an_update_resources_are_known_by_their_ids(violations: Callable[..., Any]) -> None:
    bucket = resource(BUCKET, "models", {"id": "models-1", "bucket": "models-1"})
    state = {"versioningConfiguration": {"status": "Enabled"}, "bucket": "models-1"}
    assert violations("bucket-versioned", bucket, resource(VERSIONING, "versioning", state)) == []


def test_subnets_of_a_preview_are_known_by_their_urns(violations: Callable[..., Any]) -> None:
    zones = [
        resource("aws:ec2/subnet:Subnet", f"private-{zone}", {"id": UNKNOWN, "availabilityZone": zone})
        for zone in ("a", "b")
    ]
    group = {"vpcZoneIdentifiers": [UNKNOWN, UNKNOWN]}
    whole = resource("aws:autoscaling/group:Group", "group", group, vpcZoneIdentifiers=zones)
    assert violations("spread-over-zones", *zones, whole) == []
    half = resource(
        "aws:autoscaling/group:Group", "group", {"vpcZoneIdentifiers": UNKNOWN}, vpcZoneIdentifiers=zones[:1]
    )
    assert len(violations("spread-over-zones", *zones, half)) == 1


def test_what_is_not_known_before_the_update_is_neither_allowed_nor_broken(violations: Callable[..., Any]) -> None:
    for rule, properties in (
        ("policy-not-public", {"policy": UNKNOWN}),
        ("kms-key-rotates", {"enableKeyRotation": UNKNOWN}),
    ):
        with pytest.raises(UnknownValueError):
            violations(rule, resource("aws:kms/key:Key", "models", properties))
