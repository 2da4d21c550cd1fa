"""The gateway tier's own kinds of resources, as the engine changes, reads and deletes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

BALANCER = "aws:lb/loadBalancer:LoadBalancer"
GROUP = "aws:lb/targetGroup:TargetGroup"
LISTENER = "aws:lb/listener:Listener"
ATTACHMENT = "aws:lb/targetGroupAttachment:TargetGroupAttachment"
ZONE = "aws:route53/zone:Zone"
RECORD = "aws:route53/record:Record"
POLICY = "aws:autoscaling/policy:Policy"


@pytest.fixture
def vpc(account: Any) -> str:
    return str(account.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"])


@pytest.fixture
def balancer(engine: Any, account: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    subnets = [one["SubnetId"] for one in account.client("ec2").describe_subnets()["Subnets"]][:2]
    inputs = {
        "loadBalancerType": "network",
        "internal": True,
        "subnets": subnets,
        "enableCrossZoneLoadBalancing": True,
        "tags": {"Name": "door"},
    }
    return (*engine.create(BALANCER, inputs), inputs)


def group_inputs(vpc: str, **changes: Any) -> dict[str, Any]:
    health = {"enabled": True, "protocol": "TCP", "interval": 10, "timeout": 5}
    return {"targetType": "instance", "protocol": "TCP", "port": 8080, "vpcId": vpc, "healthCheck": health} | changes


def zone_inputs(vpc: str, **changes: Any) -> dict[str, Any]:
    return {"name": "llm.example.com", "comment": "inside", "vpcs": [{"vpcId": vpc}], "tags": {"a": "1"}} | changes


def test_a_network_load_balancers_cross_zone_balancing_is_read_and_changed(engine: Any, balancer: Any) -> None:
    id_, outputs, inputs = balancer
    assert engine.read(BALANCER, id_, outputs, inputs)[1] == inputs
    changed = inputs | {"enableCrossZoneLoadBalancing": False}
    engine.update(BALANCER, id_, outputs, inputs, changed)
    assert engine.read(BALANCER, id_, outputs, inputs)[1] == changed


def test_a_health_check_by_tcp_has_neither_path_nor_matcher(engine: Any, account: Any, vpc: str) -> None:
    inputs = group_inputs(vpc)
    id_, outputs = engine.create(GROUP, inputs)
    changed = group_inputs(vpc, healthCheck=inputs["healthCheck"] | {"interval": 30})
    engine.update(GROUP, id_, outputs, inputs, changed)
    (found,) = account.client("elbv2").describe_target_groups(TargetGroupArns=[id_])["TargetGroups"]
    assert (found["HealthCheckProtocol"], found["HealthCheckIntervalSeconds"]) == ("TCP", 30)
    assert "HealthCheckPath" not in found
    assert engine.read(GROUP, id_, outputs, changed)[1] == changed


def test_a_listeners_idle_timeout_and_tls_policy_are_changed_in_place(
    engine: Any, account: Any, balancer: Any, vpc: str
) -> None:
    group, _ = engine.create(GROUP, group_inputs(vpc))
    certificate = account.client("acm").request_certificate(DomainName="api.example.com")["CertificateArn"]
    common = {
        "loadBalancerArn": balancer[0],
        "port": 443,
        "defaultActions": [{"type": "forward", "targetGroupArn": group}],
    }
    tls = common | {
        "protocol": "TLS",
        "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
        "certificateArn": certificate,
        "alpnPolicy": "HTTP2Preferred",
    }
    id_, outputs = engine.create(LISTENER, tls, "tls")
    changed = tls | {"sslPolicy": "ELBSecurityPolicy-TLS13-1-3-2021-06"}
    engine.update(LISTENER, id_, outputs, tls, changed)
    assert engine.read(LISTENER, id_, outputs, tls)[1] == changed
    engine.delete(LISTENER, id_, outputs, changed)

    tcp = common | {"protocol": "TCP", "tcpIdleTimeoutSeconds": 600}
    id_, outputs = engine.create(LISTENER, tcp, "tcp")
    assert list(engine.diff(LISTENER, tcp, tcp | {"tcpIdleTimeoutSeconds": 900}).replaces) == []
    engine.update(LISTENER, id_, outputs, tcp, tcp | {"tcpIdleTimeoutSeconds": 900})
    assert engine.read(LISTENER, id_, outputs, tcp)[1] == tcp | {"tcpIdleTimeoutSeconds": 900}


def test_a_target_is_replaced_when_anything_of_it_changes_and_is_gone_once_deregistered(
    engine: Any, balancer: Any, vpc: str
) -> None:
    group, _ = engine.create(GROUP, group_inputs(vpc, targetType="alb", port=443))
    inputs = {"targetGroupArn": group, "targetId": balancer[0], "port": 443}
    id_, outputs = engine.create(ATTACHMENT, inputs)
    assert engine.read(ATTACHMENT, id_, outputs, inputs)[:2] == (id_, inputs)
    moved = engine.diff(ATTACHMENT, inputs, inputs | {"port": 8443})
    assert (list(moved.replaces), moved.deleteBeforeReplace) == (["port"], True)
    for _ in range(2):
        engine.delete(ATTACHMENT, id_, outputs, inputs)
        assert engine.read(ATTACHMENT, id_, outputs, inputs)[0] == ""


def test_a_private_zone_moves_to_another_vpc_and_keeps_its_id(engine: Any, account: Any, vpc: str) -> None:
    other = account.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    inputs = zone_inputs(vpc)
    id_, outputs = engine.create(ZONE, inputs)
    assert engine.read(ZONE, id_, outputs, inputs)[1] == inputs
    assert list(engine.diff(ZONE, inputs, zone_inputs(vpc, name="other.example.com")).replaces) == ["name"]
    changed = zone_inputs(vpc, comment="moved", vpcs=[{"vpcId": other}], tags={"b": "2"})
    engine.update(ZONE, id_, outputs, inputs, changed)
    assert engine.read(ZONE, id_, outputs, changed)[1] == changed
    engine.delete(ZONE, id_, outputs, changed)
    assert engine.read(ZONE, id_, outputs, changed)[0] == ""


def test_a_zone_with_a_record_in_it_is_not_deleted(engine: Any, vpc: str, refused: Callable[..., str]) -> None:
    inputs = zone_inputs(vpc)
    zone, outputs = engine.create(ZONE, inputs)
    record = {"zoneId": zone, "name": "llm.example.com", "type": "A", "ttl": 60, "records": ["203.0.113.10"]}
    engine.create(RECORD, record)
    assert "HostedZoneNotEmpty" in refused(lambda: engine.delete(ZONE, zone, outputs, inputs))


def test_a_dns_step_changes_the_weights_of_two_records_and_each_is_deleted_alone(
    engine: Any, account: Any, vpc: str
) -> None:
    zone, _ = engine.create(ZONE, zone_inputs(vpc))
    common = {"zoneId": zone, "name": "llm.example.com", "type": "A"}
    alias = {"name": "lb.elb.amazonaws.com", "zoneId": "Z26RNL4JYFTOTI", "evaluateTargetHealth": True}
    weighted = {
        "home": common | {"setIdentifier": "home", "ttl": 60, "records": ["203.0.113.10"]},
        "cloud": common | {"setIdentifier": "cloud", "aliases": [alias]},
    }

    def at(name: str, weight: int) -> dict[str, Any]:
        return weighted[name] | {"weightedRoutingPolicies": [{"weight": weight}]}

    made = {name: engine.create(RECORD, at(name, weight), name) for name, weight in (("home", 100), ("cloud", 0))}
    assert made["home"][0] == f"{zone}_llm.example.com_A_home"
    for name, before, after in (("home", 100, 75), ("cloud", 0, 25)):
        id_, outputs = made[name]
        assert engine.read(RECORD, id_, outputs, at(name, before))[1] == at(name, before)
        assert list(engine.diff(RECORD, at(name, before), at(name, after)).replaces) == []
        engine.update(RECORD, id_, outputs, at(name, before), at(name, after))
        assert engine.read(RECORD, id_, outputs, at(name, before))[1] == at(name, after)

    id_, outputs = made["home"]
    engine.delete(RECORD, id_, outputs, at("home", 75))
    assert engine.read(RECORD, id_, outputs, at("home", 75))[0] == ""
    found = account.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    assert [one["SetIdentifier"] for one in found if one["Type"] == "A"] == ["cloud"]


def test_a_record_of_another_name_is_another_record(engine: Any) -> None:
    old = {"zoneId": "Z1", "name": "a.example.com", "type": "A", "ttl": 60, "records": ["203.0.113.10"]}
    assert list(engine.diff(RECORD, old, old | {"name": "b.example.com"}).replaces) == ["name"]
    assert list(engine.diff(RECORD, old, old | {"zoneId": "Z2"}).replaces) == ["zoneId"]


def test_a_tracked_cpu_target_that_somebody_changed_is_read(engine: Any, account: Any) -> None:
    autoscaling, ec2 = account.client("autoscaling"), account.client("ec2")
    template = ec2.create_launch_template(
        LaunchTemplateName="node", LaunchTemplateData={"ImageId": "ami-1", "InstanceType": "m6a.large"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="tier",
        MinSize=0,
        MaxSize=0,
        LaunchTemplate={"LaunchTemplateId": template},
        VPCZoneIdentifier=ec2.describe_subnets()["Subnets"][0]["SubnetId"],
    )
    tracked = {"predefinedMetricSpecification": {"predefinedMetricType": "ASGAverageCPUUtilization"}, "targetValue": 50}
    inputs = {
        "name": "cpu",
        "autoscalingGroupName": "tier",
        "policyType": "TargetTrackingScaling",
        "estimatedInstanceWarmup": 300,
        "targetTrackingConfiguration": tracked,
    }
    id_, outputs = engine.create(POLICY, inputs)
    assert engine.read(POLICY, id_, outputs, inputs)[1] == inputs
    (found,) = autoscaling.describe_policies(AutoScalingGroupName="tier")["ScalingPolicies"]
    autoscaling.put_scaling_policy(
        AutoScalingGroupName="tier",
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration=found["TargetTrackingConfiguration"] | {"TargetValue": 90.0},
    )
    drifted = engine.read(POLICY, id_, outputs, inputs)[1]
    assert drifted["targetTrackingConfiguration"] == tracked | {"targetValue": 90}
    engine.delete(POLICY, id_, outputs, inputs)
    assert autoscaling.describe_policies(AutoScalingGroupName="tier")["ScalingPolicies"] == []
