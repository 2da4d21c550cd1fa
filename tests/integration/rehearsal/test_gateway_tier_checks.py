"""The production stack with a gateway in the cloud: each check fails where it should, and no other."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from ferry.rehearsal import Served, checks
from ferry.rehearsal.checks import Stack, gateway_tier
from tests.conftest import Rehearsed

GROUP, ZONE = "ferry-prod-gateway-tier", "Z0123456789"

RUNS = "a gateway also runs in the cloud where the stack asks for it"
TLS = "clients reach the gateway in the cloud by tls only"
ADMITS = "the gateway in the cloud admits only the addresses of the stack"
CLOSED = "gateways in the cloud are closed machines"
CONFIDENTIAL = "gateways in the cloud are confidential where the stack asks for it"
TALKS = "gateways in the cloud talk to nobody else"
FINDS = "gateways in the cloud find the load balancer inside the vpc"
RIGHTS = "gateways in the cloud may do what they need and nothing else"
WEIGHTS = "clients go to home and cloud by the weight of the record"


def group(of: Rehearsed) -> dict[str, Any]:
    found = of.account.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])
    (one,) = found["AutoScalingGroups"]
    return dict(one)


def template(of: Rehearsed) -> dict[str, Any]:
    named = group(of)["LaunchTemplate"]
    versions = of.account.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=named["LaunchTemplateId"], Versions=[named["Version"]]
    )["LaunchTemplateVersions"]
    return dict(versions[0]["LaunchTemplateData"])


def group_changed(**changes: Any) -> Callable[[Rehearsed], None]:
    def make(of: Rehearsed) -> None:
        of.account.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=GROUP, **changes)

    return make


def template_changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Rehearsed], None]:
    def make(of: Rehearsed) -> None:
        data, named = template(of), group(of)["LaunchTemplate"]
        change(data)
        made = of.account.client("ec2").create_launch_template_version(
            LaunchTemplateId=named["LaunchTemplateId"], LaunchTemplateData=data
        )["LaunchTemplateVersion"]
        group_changed(
            LaunchTemplate={"LaunchTemplateId": named["LaunchTemplateId"], "Version": str(made["VersionNumber"])}
        )(of)

    return make


def plain_listener(of: Rehearsed) -> None:
    arn, targets = of.stack.outputs["gateway_tier_load_balancer_arn"], group(of)["TargetGroupARNs"]
    action = {"Type": "forward", "TargetGroupArn": targets[0]}
    of.account.client("elbv2").create_listener(LoadBalancerArn=arn, Port=80, Protocol="TCP", DefaultActions=[action])


def security_group(of: Rehearsed, output: str) -> str:
    found = of.account.client("elbv2").describe_load_balancers(LoadBalancerArns=[of.stack.outputs[output]])
    return str(found["LoadBalancers"][0]["SecurityGroups"][0])


def opened(direction: str, of: Rehearsed, id_: str, cidr: str) -> None:
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": cidr}]}
    call = getattr(of.account.client("ec2"), f"authorize_security_group_{direction}")
    call(GroupId=id_, IpPermissions=[permission])


def front_opened(of: Rehearsed) -> None:
    opened("ingress", of, security_group(of, "gateway_tier_load_balancer_arn"), "0.0.0.0/0")


def node_opened(direction: str) -> Callable[[Rehearsed], None]:
    return lambda of: opened(direction, of, template(of)["NetworkInterfaces"][0]["Groups"][0], "198.51.100.0/24")


def record_changed(zone: Callable[[Rehearsed], str], action: str, **changes: Any) -> Callable[[Rehearsed], None]:
    def make(of: Rehearsed) -> None:
        route53, id_ = of.account.client("route53"), zone(of)
        records = route53.list_resource_record_sets(HostedZoneId=id_)["ResourceRecordSets"]
        record = next(one for one in records if one["Type"] == "A" and "AliasTarget" in one)
        change = {"Action": action, "ResourceRecordSet": {**record, **changes}}
        route53.change_resource_record_sets(HostedZoneId=id_, ChangeBatch={"Changes": [change]})

    return make


def private_zone(of: Rehearsed) -> str:
    zones = of.account.client("route53").list_hosted_zones_by_vpc(
        VPCId=of.stack.outputs["vpc_id"], VPCRegion="us-east-1"
    )["HostedZoneSummaries"]
    return str(zones[0]["HostedZoneId"])


def door_without_target(of: Rehearsed) -> None:
    elbv2 = of.account.client("elbv2")
    listeners = elbv2.describe_listeners(LoadBalancerArn=of.stack.outputs["gateway_tier_door_arn"])["Listeners"]
    target = {"Id": of.stack.outputs["load_balancer_arn"]}
    elbv2.deregister_targets(TargetGroupArn=listeners[0]["DefaultActions"][0]["TargetGroupArn"], Targets=[target])


def another_log(of: Rehearsed) -> None:
    iam = of.account.client("iam")
    profile = template(of)["IamInstanceProfile"]["Arn"].rpartition("/")[2]
    role = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"][0]["RoleName"]
    (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    shipping = next(one for one in document["Statement"] if one["Sid"] == "ShipRequestLog")
    shipping["Resource"] = [shipping["Resource"][0].replace("cloud-*", "home")]
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))


MUTATIONS: dict[str, tuple[Callable[[Rehearsed], None], str]] = {
    "a single gateway": (group_changed(MinSize=1), RUNS),
    "health of the machine only": (group_changed(HealthCheckType="EC2"), RUNS),
    "another instance type": (template_changed(lambda data: data.update(InstanceType="t3.micro")), RUNS),
    "a listener without TLS": (plain_listener, TLS),
    "open to the world": (front_opened, ADMITS),
    "metadata as far as the container": (
        template_changed(lambda data: data["MetadataOptions"].update(HttpPutResponseHopLimit=2)),
        CLOSED,
    ),
    "a key pair": (template_changed(lambda data: data.update(KeyName="back-door")), CLOSED),
    "a public address": (
        template_changed(lambda data: data["NetworkInterfaces"][0].update(AssociatePublicIpAddress=True)),
        CLOSED,
    ),
    "memory apart from the host's, unasked": (
        template_changed(lambda data: data.update(CpuOptions={"AmdSevSnp": "enabled"})),
        CONFIDENTIAL,
    ),
    "a volume in the clear": (
        template_changed(lambda data: data["BlockDeviceMappings"][0]["Ebs"].update(Encrypted=False)),
        CLOSED,
    ),
    "requests past the load balancer": (node_opened("ingress"), TALKS),
    "a way out": (node_opened("egress"), TALKS),
    "no name inside": (record_changed(private_zone, "DELETE"), FINDS),
    "a door to nowhere": (door_without_target, FINDS),
    "the log of home": (another_log, RIGHTS),
    "another weight": (record_changed(lambda of: ZONE, "UPSERT", Weight=100), WEIGHTS),
    "no record": (record_changed(lambda of: ZONE, "DELETE"), WEIGHTS),
}


@pytest.fixture
def failed_of_tier(failed_checks: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As `failed_checks`, of the tier's own checks: all of them would take a second for each mutation."""
    ours = {name: ask for name, ask in checks.CHECKS.items() if ask.__module__ == gateway_tier.__name__}
    assert len(ours) == 9
    monkeypatch.setattr(checks, "CHECKS", ours)
    return failed_checks


@pytest.mark.parametrize(("mutation", "check"), MUTATIONS.values(), ids=MUTATIONS)
def test_exactly_the_check_that_is_about_it_fails(
    own: Rehearsed, failed_of_tier: Any, mutation: Callable[[Rehearsed], None], check: str
) -> None:
    mutation(own)
    assert failed_of_tier(own) == [check]


def test_a_confidential_tier_that_is_not_is_found(own: Rehearsed, failed_of_tier: Any) -> None:
    tier = own.stack.settings.gateway_tier
    asked = own.stack.settings.model_copy(update={"gateway_tier": tier.model_copy(update={"confidential": True})})
    wanting = replace(own, stack=replace(own.stack, settings=asked))
    assert failed_of_tier(wanting) == [CONFIDENTIAL]
    template_changed(lambda data: data.update(CpuOptions={"AmdSevSnp": "enabled"}))(own)
    assert failed_of_tier(wanting) == []


def test_no_other_check_of_the_stack_is_about_it(own: Rehearsed, failed_checks: Any) -> None:
    for mutation, _ in {check: (mutation, check) for mutation, check in MUTATIONS.values()}.values():
        mutation(own)
    assert failed_checks(own) == sorted({check for _, check in MUTATIONS.values()})


def test_a_gateway_that_nobody_asked_for_is_found(own_rehearsed: Any, failed_checks: Any) -> None:
    dev = own_rehearsed("dev")
    named = dev.account.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    policy = named["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
    dev.account.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="ferry-dev-gateway-tier",
        MinSize=0,
        MaxSize=0,
        VPCZoneIdentifier=named["VPCZoneIdentifier"],
        LaunchTemplate={"LaunchTemplateId": policy["LaunchTemplateId"], "Version": policy["Version"]},
    )
    assert failed_checks(dev) == [RUNS]


def test_a_node_gets_the_signed_bundle_of_the_gateway_and_no_model(own: Rehearsed) -> None:
    files = {
        file["path"]: file["content"]
        for file in yaml.safe_load(base64.b64decode(template(own)["UserData"]))["write_files"]
    }
    (line,) = (line for line in files["/opt/ferry/node.sh"].splitlines() if line.startswith("BUNDLE_KEY="))
    key = line.partition("=")[2]
    bucket = own.stack.outputs["model_bucket"]
    body = own.account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    signature = own.account.client("s3").get_object(Bucket=bucket, Key=f"{key}.sig")["Body"].read()
    assert key.endswith("/gateway-bundle.tar.gz")
    assert (body, signature) == (b"gateway-bundle.tar.gz", b"signature")


def test_the_tier_is_sent_as_it_is(full_stack: tuple[Served, Stack]) -> None:
    kinds = ("aws:route53/", "aws:lb/targetGroupAttachment")
    told = [one for one in full_stack[0].rehearsal.not_emulated if one.resource.startswith(kinds)]
    assert told == []
    assert full_stack[0].rehearsal.resources["aws:route53/record:Record"] == 5
