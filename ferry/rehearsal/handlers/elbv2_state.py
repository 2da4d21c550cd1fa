"""Elastic Load Balancing, what is there: changing, reading and deleting what `elbv2` creates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.errors import RehearsalError
from ferry.rehearsal.handlers import Absent, Account, Inputs, State, deleted_by, deletes, elbv2, reads, updates
from ferry.rehearsal.handlers.tagging import as_map

BALANCER = "aws:lb/loadBalancer:LoadBalancer"
GROUP = "aws:lb/targetGroup:TargetGroup"
LISTENER = "aws:lb/listener:Listener"
RULE = "aws:lb/listenerRule:ListenerRule"
ATTACHMENT = "aws:lb/targetGroupAttachment:TargetGroupAttachment"

deleted_by(GROUP, "elbv2", "delete_target_group", TargetGroupArn="id")
deleted_by(LISTENER, "elbv2", "delete_listener", ListenerArn="id")
deleted_by(RULE, "elbv2", "delete_rule", RuleArn="id")


@updates(
    BALANCER,
    "accessLogs",
    "dropInvalidHeaderFields",
    "enableCrossZoneLoadBalancing",
    "enableDeletionProtection",
    "idleTimeout",
    "securityGroups",
    "subnets",
)
def load_balancer_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """Groups and subnets in calls of their own, the rest as attributes."""
    client = account.client("elbv2", old.region)
    for given, call, name in (
        ("securityGroups", "set_security_groups", "SecurityGroups"),
        ("subnets", "set_subnets", "Subnets"),
    ):
        wanted = new.take(given, [])
        if wanted != old.inputs.get(given):
            getattr(client, call)(LoadBalancerArn=old.id, **{name: wanted})
    elbv2.set_attributes(client, old.id, new)
    return {}


@reads(BALANCER)
def read_load_balancer(account: Account, state: State) -> Mapping[str, Any]:
    """The load balancer and its attributes."""
    client = account.client("elbv2", state.region)
    found = client.describe_load_balancers(LoadBalancerArns=[state.id])["LoadBalancers"][0]
    attributes = _attributes(client.describe_load_balancer_attributes(LoadBalancerArn=state.id))
    return {
        "name": found["LoadBalancerName"],
        "loadBalancerType": found["Type"],
        "internal": found["Scheme"] == "internal",
        "subnets": [zone["SubnetId"] for zone in found["AvailabilityZones"]],
        "securityGroups": found.get("SecurityGroups", []),
        "idleTimeout": attributes.get("idle_timeout.timeout_seconds"),
        "enableCrossZoneLoadBalancing": attributes.get("load_balancing.cross_zone.enabled") == "true",
        "enableDeletionProtection": attributes.get("deletion_protection.enabled") == "true",
        "dropInvalidHeaderFields": attributes.get("routing.http.drop_invalid_header_fields.enabled") == "true",
        "accessLogs": {
            "enabled": attributes.get("access_logs.s3.enabled") == "true",
            "bucket": attributes.get("access_logs.s3.bucket"),
            "prefix": attributes.get("access_logs.s3.prefix"),
        },
        "tags": _tags(client, state),
    }


@deletes(BALANCER)
def delete_load_balancer(account: Account, state: State) -> None:
    """`DeleteLoadBalancer`. AWS refuses it under deletion protection, and moto 5.2.5 does not: it is asked for here."""
    client = account.client("elbv2", state.region)
    attributes = _attributes(client.describe_load_balancer_attributes(LoadBalancerArn=state.id))
    if attributes.get("deletion_protection.enabled") == "true":
        raise RehearsalError(
            f"{state.type} {state.name}: load balancer {state.id} cannot be deleted because deletion protection is "
            "enabled; take it off with `aws elbv2 modify-load-balancer-attributes`, then run `pulumi destroy` again"
        )
    client.delete_load_balancer(LoadBalancerArn=state.id)


@updates(GROUP, "deregistrationDelay", "healthCheck", "loadBalancingAlgorithmType")
def target_group_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`ModifyTargetGroup` for the health check, then the attributes."""
    client = account.client("elbv2", old.region)
    if health := elbv2.health_check(new):
        client.modify_target_group(TargetGroupArn=old.id, **health)
    elbv2.set_group_attributes(client, old.id, new)
    return {}


@reads(GROUP)
def read_target_group(account: Account, state: State) -> Mapping[str, Any]:
    """The group, its health check and its attributes."""
    client = account.client("elbv2", state.region)
    found = client.describe_target_groups(TargetGroupArns=[state.id])["TargetGroups"][0]
    attributes = _attributes(client.describe_target_group_attributes(TargetGroupArn=state.id))
    return {
        "port": found.get("Port"),
        "protocol": found.get("Protocol"),
        "targetType": found["TargetType"],
        "vpcId": found.get("VpcId"),
        "deregistrationDelay": attributes.get("deregistration_delay.timeout_seconds"),
        "loadBalancingAlgorithmType": attributes.get("load_balancing.algorithm.type"),
        "healthCheck": {
            "enabled": found.get("HealthCheckEnabled", True),
            "protocol": found.get("HealthCheckProtocol"),
            "path": found.get("HealthCheckPath"),
            "port": found.get("HealthCheckPort"),
            "matcher": found.get("Matcher", {}).get("HttpCode"),
            "interval": found.get("HealthCheckIntervalSeconds"),
            "timeout": found.get("HealthCheckTimeoutSeconds"),
            "healthyThreshold": found.get("HealthyThresholdCount"),
            "unhealthyThreshold": found.get("UnhealthyThresholdCount"),
        },
        "tags": _tags(client, state),
    }


@updates(
    LISTENER,
    "port",
    "protocol",
    "sslPolicy",
    "certificateArn",
    "alpnPolicy",
    "tcpIdleTimeoutSeconds",
    "defaultActions",
)
def listener_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`ModifyListener`, then the attributes."""
    client = account.client("elbv2", old.region)
    request = elbv2.listener_request(new)
    if request["Protocol"] == old.inputs.get("protocol"):
        del request["Protocol"]  # moto 5.2.5 refuses TLS here
    client.modify_listener(ListenerArn=old.id, **request)
    elbv2.set_listener_attributes(client, old.id, new)
    return {}


@reads(LISTENER)
def read_listener(account: Account, state: State) -> Mapping[str, Any]:
    """The listener. Its actions are without the tokens' check, which moto refuses, so they are not compared.

    Nor are certificate and ALPN policy of a TLS listener: moto 5.2.5 keeps the first ones, whatever it is told later.
    """
    client = account.client("elbv2", state.region)
    found = client.describe_listeners(ListenerArns=[state.id])["Listeners"][0]
    attributes = _attributes(client.describe_listener_attributes(ListenerArn=state.id))
    idle_seconds = attributes.get("tcp.idle_timeout.seconds")
    read = {
        "loadBalancerArn": found["LoadBalancerArn"],
        "port": found["Port"],
        "protocol": found["Protocol"],
        "sslPolicy": found.get("SslPolicy"),
        "tcpIdleTimeoutSeconds": idle_seconds and int(idle_seconds),
        "tags": _tags(client, state),
    }
    if found["Protocol"] != "TLS":
        certificates = [one["CertificateArn"] for one in found.get("Certificates", [])]
        read["certificateArn"] = certificates[0] if certificates else None
    return read


@reads(ATTACHMENT)
def read_attachment(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeTargetHealth` of the one target, of which only that it is there counts."""
    health = account.client("elbv2", state.region).describe_target_health(
        TargetGroupArn=state.get("targetGroupArn"), Targets=[_target(state)]
    )["TargetHealthDescriptions"]
    if not health or health[0]["TargetHealth"].get("Reason") == "Target.NotRegistered":
        raise Absent
    return {}


@deletes(ATTACHMENT)
def delete_attachment(account: Account, state: State) -> None:
    """`DeregisterTargets`, where it is still there: moto 5.2.5 refuses a second time, which AWS does not."""
    read_attachment(account, state)
    account.client("elbv2", state.region).deregister_targets(
        TargetGroupArn=state.get("targetGroupArn"), Targets=[_target(state)]
    )


@updates(RULE, "actions", "conditions", "priority")
def rule_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`ModifyRule`, then its place among the others."""
    client = account.client("elbv2", old.region)
    client.modify_rule(RuleArn=old.id, Conditions=elbv2.conditions(new), Actions=elbv2.actions(new, "actions"))
    priority = new.take("priority")
    if priority != old.inputs.get("priority"):
        client.set_rule_priorities(RulePriorities=[{"RuleArn": old.id, "Priority": priority}])
    return {}


@reads(RULE)
def read_rule(account: Account, state: State) -> Mapping[str, Any]:
    """The rule's place and conditions. Its actions are not compared, as a listener's."""
    client = account.client("elbv2", state.region)
    found = client.describe_rules(RuleArns=[state.id])["Rules"][0]
    return {
        "priority": found["Priority"],
        "conditions": [
            {
                "httpHeader": {
                    "httpHeaderName": one["HttpHeaderConfig"]["HttpHeaderName"],
                    "values": one["HttpHeaderConfig"]["Values"],
                }
            }
            for one in found["Conditions"]
            if "HttpHeaderConfig" in one
        ],
        "tags": _tags(client, state),
    }


def _target(state: State) -> dict[str, Any]:
    return {"Id": state.get("targetId"), "Port": int(state.get("port"))}


def _attributes(answer: Mapping[str, Any]) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in answer["Attributes"]}


def _tags(client: Any, state: State) -> dict[str, str]:
    return as_map(client.describe_tags(ResourceArns=[state.id])["TagDescriptions"][0]["Tags"])
