from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from stacks import rules
from stacks.settings import Settings
from tests.certificates import authority

FLEET: dict[str, Any] = {
    "instance_types": ["g5.xlarge", "g5.2xlarge"],
    "min_size": 1,
    "max_size": 4,
    "on_demand_base": 1,
    "spot_percentage": 50,
    "schedules": [
        {
            "name": "office-hours",
            "recurrence": "0 8 * * 1-5",
            "time_zone": "Asia/Shanghai",
            "min_size": 2,
            "max_size": 4,
            "desired_capacity": 3,
        }
    ],
}
VERSION: dict[str, Any] = {
    "name": "r1",
    "model": "deepseek-r1-distill-qwen-7b",
    "version": "1",
    "engine": {"image": "vllm-openai:v0.33.0"},
    "fleet": FLEET,
}
STACK: dict[str, Any] = {
    "region": "us-east-1",
    "environment": "prod",
    "model_versions": [VERSION],
    "gateway": {"domain_name": "llm.example.com"},
}


def stack(**changes: Any) -> dict[str, Any]:
    return {**STACK, **changes}


def fleet(region: str = "us-east-1", weight: int = 100, **changes: Any) -> dict[str, Any]:
    return stack(region=region, model_versions=[{**VERSION, "weight": weight, "fleet": {**FLEET, **changes}}])


ASLEEP: dict[str, Any] = {**FLEET, "min_size": 0}


def failover(**changes: Any) -> dict[str, Any]:
    """A stack with a second region; `changes` are of that section, or of the stack where it has such a key."""
    sections = {key: changes.pop(key) for key in ("model_repository", "model_versions") if key in changes}
    section = {"region": "us-west-2", "zone_id": "Z0123456789", **changes}
    return stack(model_repository={"replica_region": "us-west-2"}, failover=section) | sections


def schedule(**changes: Any) -> dict[str, Any]:
    return fleet(schedules=[{**FLEET["schedules"][0], **changes}])


def versions(*changes: Mapping[str, Any]) -> dict[str, Any]:
    return stack(model_versions=[{**VERSION, **change} for change in changes])


CA = authority()
PRIVATE_CA = "arn:aws:acm-pca:us-east-1:123456789012:certificate-authority/0a1b2c3d"


def site(**changes: Any) -> dict[str, Any]:
    return stack(site_identity={"subjects": ["push-1"], "models": ["r1-32b"], **changes})


SIGNING_KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000"


def signs(arn: str) -> dict[str, Any]:
    return site(private_ca_arn=PRIVATE_CA, signing_key_arn=arn)


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


ED25519 = pem(Ed25519PrivateKey.from_private_bytes(bytes(32)))


def elliptic(curve: ec.EllipticCurve) -> str:
    return pem(ec.derive_private_key(1, curve))


def trusts(keys: str) -> dict[str, Any]:
    return stack(node_bundle={"path": "build/node-bundle.tar.gz", "verification_key": keys})


def agents(*arns: str) -> dict[str, Any]:
    sync = {"nfs_server": "nas", "nfs_path": "/models", "model": "r1-32b", "version": "1", "agent_arns": list(arns)}
    return stack(data_sync=sync)


WARM = {"warm_pool": {"min_size": 1, "state": "Stopped"}, "spot_percentage": 0}

BROKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "min above max": ("group-sizes", fleet(min_size=5)),
    "desired below min": ("group-sizes", schedule(desired_capacity=1)),
    "desired above max": ("group-sizes", schedule(desired_capacity=5)),
    "a schedule's min above its max": ("group-sizes", schedule(min_size=5, desired_capacity=None)),
    "on-demand base above max": ("on-demand-base", fleet(on_demand_base=5)),
    "an instance type twice": ("instance-type-count", fleet(instance_types=["g5.xlarge", "g5.xlarge"])),
    "41 instance types": ("instance-type-count", fleet(instance_types=[f"g5.size{number}" for number in range(41)])),
    "p5 in China": ("instance-type-partition", fleet("cn-north-1", instance_types=["g5.xlarge", "p5.48xlarge"])),
    "g6 in China": ("instance-type-partition", fleet("cn-northwest-1", instance_types=["g6.xlarge", "g5.xlarge"])),
    "a warm pool with spot": ("warm-pool-spot", fleet(**{**WARM, "spot_percentage": 1})),
    "a mixed warm pool in China": ("warm-pool-mixed-china", fleet("cn-north-1", **WARM)),
    "a GPU that hibernates": (
        "warm-pool-hibernation",
        fleet(**{**WARM, "instance_types": ["g5.xlarge"], "warm_pool": {"min_size": 1, "state": "Hibernated"}}),
    ),
    "a warm pool that runs": ("warm-pool-running", fleet(**{**WARM, "warm_pool": {"min_size": 1, "state": "Running"}})),
    "a reservation for spot": (
        "reservation-on-demand",
        fleet(capacity_reservation_count=1, on_demand_base=0, spot_percentage=100),
    ),
    "a fleet that falls asleep for good": ("wakes-up", fleet(min_size=0, on_demand_base=0, schedules=[])),
    "a period of 90 s": ("alarm-period", fleet(scaling={"period_seconds": 90})),
    "a period of 30 s": ("alarm-resolution", fleet(scaling={"period_seconds": 30})),
    "more than a day": ("alarm-range", fleet(scaling={"scale_in_datapoints": 1441})),
    "more than a week": ("alarm-range", fleet(scaling={"period_seconds": 3600, "scale_out_datapoints": 169})),
    "scale-out at scale-in": ("scaling-thresholds", fleet(scaling={"scale_out_above": 0.3})),
    "scale-out below scale-in": ("scaling-thresholds", fleet(scaling={"scale_out_above": 0.2})),
    "cron with six fields": ("schedule-recurrence", schedule(recurrence="0 8 * * 1-5 *")),
    "cron with four fields": ("schedule-recurrence", schedule(recurrence="0 8 * *")),
    "an hour of 24": ("schedule-recurrence", schedule(recurrence="0 24 * * *")),
    "EventBridge's question mark": ("schedule-recurrence", schedule(recurrence="0 8 ? * 1-5")),
    "a time zone that is an abbreviation": ("schedule-time-zone", schedule(time_zone="CST")),
    "two schedules of one name": ("schedule-names", fleet(schedules=FLEET["schedules"] * 2)),
    "a second region without the models": ("failover-replica", failover(model_repository={})),
    "a second region beside the models": (
        "failover-replica",
        failover(model_repository={"replica_region": "eu-west-1"}),
    ),
    "a first region that sleeps": ("failover-awake", failover(model_versions=[{**VERSION, "fleet": ASLEEP}])),
    "a second network that is too large": ("vpc-size", failover(network={"cidr": "10.0.0.0/8"})),
    "a second fleet above its max": ("group-sizes", failover(min_size=5)),
    "a second warm pool with spot": ("warm-pool-spot", failover(warm_pool={"min_size": 1})),
    "183 days": ("audit-retention", stack(audit={"retention_days": 183})),
    "disposable in prod": ("audit-disposable", stack(audit={"mode": "disposable"})),
    "a replica that leaves China": (
        "replica-partition",
        stack(region="cn-north-1", model_repository={"replica_region": "us-east-1"}),
    ),
    "a replica beside the models": ("replica-region", stack(model_repository={"replica_region": "us-east-1"})),
    "a site without an authority": ("site-authority", site()),
    "a site with two authorities": (
        "site-authority",
        site(certificate_authority_pem=CA, private_ca_arn=PRIVATE_CA),
    ),
    "an authority with its key": (
        "site-authority-certificate",
        site(certificate_authority_pem=CA + "-----BEGIN EC PRIVATE KEY-----\n"),
    ),
    "an authority that is a text": ("site-authority-certificate", site(certificate_authority_pem="site CA")),
    "a machine's certificate as the authority": (
        "site-authority-certificate",
        site(certificate_authority_pem=CA + authority(ca=False)),
    ),
    "an authority that may not sign": (
        "site-authority-certificate",
        site(certificate_authority_pem=authority(signs=False)),
    ),
    "a CA of another region": (
        "site-private-ca",
        site(private_ca_arn=PRIVATE_CA.replace("us-east-1", "us-west-2")),
    ),
    "a CA of another partition": ("site-private-ca", site(private_ca_arn=PRIVATE_CA.replace("aws:", "aws-cn:"))),
    "a signing key by its alias": ("site-signing-key", signs("arn:aws:kms:us-east-1:123456789012:alias/models")),
    "a signing key of another region": ("site-signing-key", signs(SIGNING_KEY.replace("us-east-1", "us-west-2"))),
    "any signing key": ("site-signing-key", signs("*")),
    "a bundle whose key is private": ("verification-keys", trusts(ED25519 + "-----BEGIN PRIVATE KEY-----\n")),
    "a bundle that trusts no key": ("verification-keys", trusts("")),
    "a bundle that trusts P-384": ("verification-keys", trusts(ED25519 + elliptic(ec.SECP384R1()))),
    "a bundle whose own signer is not trusted": ("verification-keys", trusts(elliptic(ec.SECP256R1()))),
    "a bundle that trusts rubbish": ("verification-keys", trusts(ED25519.replace("MC", "AA"))),
    "an agent of another region": (
        "data-sync-agents",
        agents("arn:aws:datasync:us-west-2:123456789012:agent/agent-0123456789abcdef0"),
    ),
    "models that expire before they are put away": (
        "lifecycle-order",
        stack(model_repository={"noncurrent_to_glacier_ir_days": 30, "noncurrent_expiration_days": 30}),
    ),
    "logs in the deep archive before the archive": (
        "lifecycle-order",
        stack(audit={"glacier_days": 200, "deep_archive_days": 184}),
    ),
    "a VPC that is too large": ("vpc-size", stack(network={"cidr": "10.0.0.0/15"})),
    "a VPC that is too small": ("vpc-size", stack(network={"cidr": "10.0.0.0/23"})),
    "a VPC that does not start at its network": ("vpc-size", stack(network={"cidr": "10.0.1.0/16"})),
    "a replica in China": ("replica-partition", stack(model_repository={"replica_region": "cn-north-1"})),
    "a weight of 1000": ("weight", versions({"weight": 1000})),
    "a weight below 0": ("weight", versions({}, {"name": "r2", "weight": -1})),
    "no weight at all": ("some-weight", versions({"weight": 0}, {"name": "r2", "weight": 0})),
    "two versions of one name": ("version-names", versions({}, {})),
    "a header named Host": (
        "version-header",
        stack(gateway={"domain_name": "llm.example.com", "version_header": "Host"}),
    ),
    "an issuer of 257 characters": (
        "jwt-length",
        stack(
            gateway={
                "domain_name": "llm.example.com",
                "jwt": {"issuer": "https://" + "i" * 249, "jwks_url": "https://example.com/jwks.json"},
            }
        ),
    ),
    "dollars in China": ("budget-currency", fleet("cn-north-1") | {"monitoring": {"monthly_budget_usd": 100}}),
    "a scan by five fields": ("patching-schedule", stack(patching={"schedule": "cron(0 3 * * *)"})),
    "a scan at no rate": ("patching-schedule", stack(patching={"schedule": "rate(0 days)"})),
    "a scan in Peking": ("patching-time-zone", stack(patching={"time_zone": "Asia/Peking"})),
    "six versions": ("target-groups-per-rule", versions(*({"name": f"r{number}"} for number in range(6)))),
}


@pytest.mark.parametrize(("rule", "document"), BROKEN.values(), ids=BROKEN.keys())
def test_settings_that_break_exactly_one_rule_are_refused_by_it_alone(rule: str, document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(document)
    (problem,) = refused.value.errors()
    assert [part.rpartition("]")[0].partition(":")[0] for part in problem["msg"].split(" [")[1:]] == [rule]
    assert "; model_versions" not in problem["msg"]


ACCEPTED: dict[str, dict[str, Any]] = {
    "the stack that the others are made from": STACK,
    "a mixed warm pool outside China": fleet(**WARM),
    "a warm pool of one type in China": fleet("cn-north-1", **WARM, instance_types=["g5.xlarge"]),
    "every family that China has": fleet("cn-north-1", instance_types=["g4dn.xlarge", "g5.xlarge", "p3.2xlarge"]),
    "a type without accelerator in China": fleet("cn-north-1", instance_types=["c6i.8xlarge", "m6i.4xlarge"]),
    "a reservation beside spot": fleet(capacity_reservation_count=1, spot_percentage=100),
    "a fleet that sleeps at night": fleet(min_size=0),
    "a version that is parked": stack(
        model_versions=[
            VERSION,
            {**VERSION, "name": "r2", "weight": 0, "fleet": {**FLEET, "min_size": 0, "schedules": []}},
        ]
    ),
    "a look back of exactly one day": fleet(scaling={"scale_in_datapoints": 1440}),
    "a look back of exactly seven days": fleet(scaling={"period_seconds": 3600, "scale_in_datapoints": 168}),
    "names and steps in cron": schedule(recurrence="*/15 7,19 1-7 JAN-mar MON-FRI"),
    "cron's second Sunday": schedule(recurrence="0 0 * * 7"),
    "184 days": stack(audit={"retention_days": 184}),
    "a short archive that is disposable, in dev": stack(
        environment="dev", audit={"mode": "disposable", "retention_days": 1}
    ),
    "a replica within China": fleet("cn-north-1") | {"model_repository": {"replica_region": "cn-northwest-1"}},
    "the lowest and the highest weight": versions({"weight": 0}, {"name": "r2", "weight": 999}),
    "a second region": failover(),
    "a second region that sleeps": failover(min_size=0),
    "a second region within China": failover(region="cn-northwest-1")
    | {"region": "cn-north-1", "model_repository": {"replica_region": "cn-northwest-1"}},
    "a scan twice a day": stack(patching={"schedule": "rate(12 hours)", "time_zone": "Asia/Shanghai"}),
    "a scan on the third Thursday": stack(patching={"schedule": "cron(30 2 ? * THU#3 *)"}),
    "five versions": versions(*({"name": f"r{number}"} for number in range(5))),
}


@pytest.mark.parametrize("document", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_aws_accepts_is_accepted(document: dict[str, Any]) -> None:
    assert rules.violations(Settings.model_validate(document)) == []


def test_two_broken_rules_make_two_sentences() -> None:
    settings = Settings.model_validate(STACK)
    (version,) = settings.model_versions
    broken = version.fleet.model_copy(update={"min_size": 9, "on_demand_base": 5})
    assert rules.fleet_violations(version.model_copy(update={"fleet": broken}), "us-east-1") == [
        "model_versions.r1.fleet: min_size is 9, allowed is at most max_size, which is 4: lower it, or raise max_size "
        "[group-sizes: https://docs.aws.amazon.com/autoscaling/ec2/userguide/asg-capacity-limits.html]",
        "model_versions.r1.fleet: on_demand_base is 5, allowed is 0 to max_size, which is 4: lower it, or raise "
        "max_size [on-demand-base: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstancesDistribution.html]",
    ]


@pytest.mark.parametrize(
    "settings",
    [
        site(certificate_authority_pem=CA),
        site(certificate_authority_pem=CA + authority()),
        site(private_ca_arn=PRIVATE_CA),
        agents("arn:aws:datasync:us-east-1:123456789012:agent/agent-0123456789abcdef0"),
    ],
)
def test_what_comes_from_home_is_accepted_as_it_should_be(settings: dict[str, Any]) -> None:
    assert Settings.model_validate(settings)


PREDICATES: dict[str, tuple[str | None, bool]] = {
    "24 characters for a load balancer": (rules.load_balancer_name(logical_name="a" * 24), True),
    "25 characters for a load balancer": (rules.load_balancer_name(logical_name="a" * 25), False),
    "24 characters for a target group": (rules.target_group_name(logical_name="a" * 24), True),
    "25 characters for a target group": (rules.target_group_name(logical_name="a" * 25), False),
    "access logs in a plain bucket": (rules.log_delivery_bucket(object_lock=False, kms_key=False), True),
    "access logs under Object Lock": (rules.log_delivery_bucket(object_lock=True, kms_key=False), False),
    "access logs under a KMS key": (rules.log_delivery_bucket(object_lock=False, kms_key=True), False),
    "an idle timeout of 4000 s": (rules.idle_timeout(seconds=4000), True),
    "an idle timeout of 4001 s": (rules.idle_timeout(seconds=4001), False),
    "an idle timeout of 0 s": (rules.idle_timeout(seconds=0), False),
    "a delay of 3600 s": (rules.deregistration_delay(seconds=3600), True),
    "a delay of 3601 s": (rules.deregistration_delay(seconds=3601), False),
    "10 s of a metric of high resolution": (rules.alarm_resolution(period_seconds=10, high_resolution=True), True),
    "a period of 10 s": (rules.alarm_period(period_seconds=10), True),
    "a period of 0 s": (rules.alarm_period(period_seconds=0), False),
    "m5 that hibernates": (rules.warm_pool_hibernation(state="Hibernated", instance_type="m5.xlarge"), True),
    "one open step": (rules.step_adjustments(steps=[(0, None, 2)]), True),
    "two steps that meet": (rules.step_adjustments(steps=[(0.2, None, 4), (0, 0.2, 2)]), True),
    "no step": (rules.step_adjustments(steps=[]), False),
    "two steps with a gap": (rules.step_adjustments(steps=[(0, 0.1, 2), (0.2, None, 4)]), False),
    "two steps that overlap": (rules.step_adjustments(steps=[(0, 0.3, 2), (0.2, None, 4)]), False),
    "a step behind an open one": (rules.step_adjustments(steps=[(0, None, 2), (0.2, None, 4)]), False),
    "the highest step ends": (rules.step_adjustments(steps=[(0, 0.2, 2)]), False),
    "the lowest step begins": (rules.step_adjustments(steps=[(-0.2, 0, -1)]), False),
}


@pytest.mark.parametrize(("sentence", "is_accepted"), PREDICATES.values(), ids=PREDICATES.keys())
def test_a_rule_can_be_asked_with_plain_values(sentence: str | None, is_accepted: bool) -> None:
    assert (sentence is None) == is_accepted


@pytest.mark.parametrize("rule", rules.RULES.values(), ids=rules.RULES.keys())
def test_a_rule_states_what_has_to_be_true_and_where_that_is_written(rule: rules.Rule[...]) -> None:
    assert rule.statement.endswith(".")
    assert rule.source == rules.FERRY or rule.source.startswith(
        ("https://docs.aws.amazon.com/", "https://docs.amazonaws.cn/", "https://github.com/aws/")
    )


def test_every_rule_is_proven() -> None:
    proven = {rule for rule, _ in BROKEN.values()}
    by_predicate = {
        "load-balancer-name", "target-group-name", "log-delivery-bucket", "idle-timeout",
        "deregistration-delay", "step-adjustments",
    }  # fmt: skip
    of_the_gateway_tier = {  # tests/unit/stacks/test_gateway_rules.py
        "gateway-tier-architecture", "gateway-tier-certificate", "gateway-tier-home", "gateway-tier-home-record",
        "gateway-tier-loop", "gateway-tier-name", "sev-snp-region", "sev-snp-type",
    }  # fmt: skip
    assert proven | by_predicate | of_the_gateway_tier == rules.RULES.keys()


@pytest.mark.parametrize(
    ("region", "partition"),
    [("us-east-1", "aws"), ("cn-north-1", "aws-cn"), ("cn-northwest-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_a_region_lies_in_a_partition(region: str, partition: str) -> None:
    assert rules.partition(region) == partition
