"""Elastic Load Balancing v2: load balancers, target groups, listeners, rules."""

from __future__ import annotations

import hashlib
from typing import Any

from ferry.rehearsal.handlers import REPLACING, Account, Created, Inputs, creates

Attributes = dict[str, Any]


@creates("aws:lb/loadBalancer:LoadBalancer", fixed=("name", "namePrefix", "internal", "loadBalancerType"))
def load_balancer(account: Account, inputs: Inputs) -> Created:
    """`CreateLoadBalancer`, then the attributes, as the provider does it."""
    elbv2 = account.client("elbv2", inputs.region)
    made = elbv2.create_load_balancer(
        Name=inputs.autoname("name", max_length=32),
        Type=inputs.take("loadBalancerType", "application"),
        Scheme="internal" if inputs.take("internal", False) else "internet-facing",
        Subnets=inputs.take("subnets"),
        SecurityGroups=inputs.take("securityGroups", []),
        **_tags(inputs),
    )["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    set_attributes(elbv2, arn, inputs)
    return Created(
        arn,
        {
            "arn": arn,
            "arnSuffix": arn.partition(":loadbalancer/")[2],
            "dnsName": made["DNSName"],
            "vpcId": made["VpcId"],
            "zoneId": made["CanonicalHostedZoneId"],
        },
    )


def set_attributes(elbv2: Any, arn: str, inputs: Inputs) -> None:
    """`ModifyLoadBalancerAttributes` with what is given."""
    attributes: Attributes = {
        "idle_timeout.timeout_seconds": inputs.take("idleTimeout"),
        "deletion_protection.enabled": inputs.take("enableDeletionProtection"),
        "routing.http.drop_invalid_header_fields.enabled": inputs.take("dropInvalidHeaderFields"),
        "load_balancing.cross_zone.enabled": inputs.take("enableCrossZoneLoadBalancing"),
    }
    if logs := inputs.nested("accessLogs"):
        attributes |= {
            "access_logs.s3.enabled": logs.take("enabled", False),
            "access_logs.s3.bucket": logs.take("bucket"),
            "access_logs.s3.prefix": logs.take("prefix"),
        }
    elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=_attributes(attributes))


@creates(
    "aws:lb/targetGroup:TargetGroup",
    fixed=("name", "namePrefix", "port", "protocol", "protocolVersion", "targetType", "vpcId"),
)
def target_group(account: Account, inputs: Inputs) -> Created:
    """`CreateTargetGroup`, then the attributes."""
    elbv2 = account.client("elbv2", inputs.region)
    request: dict[str, Any] = {
        "Name": _target_group_name(inputs),
        "TargetType": inputs.take("targetType", "instance"),
        "Protocol": inputs.take("protocol"),
        "Port": inputs.take("port"),
        "VpcId": inputs.take("vpcId"),
        **_tags(inputs),
    }
    request |= health_check(inputs)
    arn = elbv2.create_target_group(**request)["TargetGroups"][0]["TargetGroupArn"]
    set_group_attributes(elbv2, arn, inputs)
    return Created(arn, {"arn": arn, "arnSuffix": arn.rpartition(":")[2], "name": request["Name"]})


def health_check(inputs: Inputs) -> dict[str, Any]:
    """The fields of a health check, with ELB's defaults; empty where none is given."""
    health = inputs.nested("healthCheck")
    if health is None:
        return {}
    protocol = health.take("protocol", "HTTP")
    # TCP has neither path nor matcher.
    by_http = (
        {}
        if protocol == "TCP"
        else {"HealthCheckPath": health.take("path", "/"), "Matcher": {"HttpCode": health.take("matcher", "200")}}
    )
    return {
        **by_http,
        "HealthCheckEnabled": health.take("enabled", True),
        "HealthCheckProtocol": protocol,
        "HealthCheckPort": health.take("port", "traffic-port"),
        "HealthCheckIntervalSeconds": health.take("interval", 30),
        "HealthCheckTimeoutSeconds": health.take("timeout", 5),
        "HealthyThresholdCount": health.take("healthyThreshold", 3),
        "UnhealthyThresholdCount": health.take("unhealthyThreshold", 3),
    }


def set_group_attributes(elbv2: Any, arn: str, inputs: Inputs) -> None:
    """`ModifyTargetGroupAttributes` with what is given."""
    elbv2.modify_target_group_attributes(
        TargetGroupArn=arn,
        Attributes=_attributes(
            {
                "deregistration_delay.timeout_seconds": inputs.take("deregistrationDelay"),
                "load_balancing.algorithm.type": inputs.take("loadBalancingAlgorithmType"),
            }
        ),
    )


@creates("aws:lb/listener:Listener", fixed=("loadBalancerArn",))
def listener(account: Account, inputs: Inputs) -> Created:
    """`CreateListener`."""
    elbv2 = account.client("elbv2", inputs.region)
    arn = elbv2.create_listener(
        **listener_request(inputs), LoadBalancerArn=inputs.take("loadBalancerArn"), **_tags(inputs)
    )["Listeners"][0]["ListenerArn"]
    set_listener_attributes(elbv2, arn, inputs)
    return Created(arn, {"arn": arn})


def listener_request(inputs: Inputs) -> dict[str, Any]:
    """What `CreateListener` and `ModifyListener` take alike; a TCP listener has neither certificate nor policies."""
    certificate, alpn = inputs.take("certificateArn"), inputs.take("alpnPolicy")
    request = {
        "Port": inputs.take("port"),
        "Protocol": inputs.take("protocol"),
        "SslPolicy": inputs.take("sslPolicy"),
        "Certificates": [{"CertificateArn": certificate}] if certificate else None,
        "AlpnPolicy": [alpn] if alpn else None,
        "DefaultActions": actions(inputs, "defaultActions"),
    }
    return {name: value for name, value in request.items() if value is not None}


def set_listener_attributes(elbv2: Any, arn: str, inputs: Inputs) -> None:
    """`ModifyListenerAttributes`, where one is given."""
    if idle := inputs.take("tcpIdleTimeoutSeconds"):
        elbv2.modify_listener_attributes(
            ListenerArn=arn, Attributes=_attributes({"tcp.idle_timeout.seconds": int(idle)})
        )


@creates(
    "aws:lb/targetGroupAttachment:TargetGroupAttachment",
    fixed=("targetGroupArn", "targetId", "port", "availabilityZone"),
)
def target_group_attachment(account: Account, inputs: Inputs) -> Created:
    """`RegisterTargets` of one target."""
    group, target = inputs.take("targetGroupArn"), {"Id": inputs.take("targetId"), "Port": int(inputs.take("port"))}
    account.client("elbv2", inputs.region).register_targets(TargetGroupArn=group, Targets=[target])
    return Created(f"{group}-{target['Id']}")


@creates("aws:lb/listenerRule:ListenerRule", fixed=("listenerArn",))
def listener_rule(account: Account, inputs: Inputs) -> Created:
    """`CreateRule`."""
    elbv2 = account.client("elbv2", inputs.region)
    arn = elbv2.create_rule(
        ListenerArn=inputs.take("listenerArn"),
        Priority=inputs.take("priority"),
        Conditions=conditions(inputs),
        Actions=actions(inputs, "actions"),
        **_tags(inputs),
    )["Rules"][0]["RuleArn"]
    return Created(arn, {"arn": arn})


def conditions(inputs: Inputs) -> list[dict[str, Any]]:
    """Which requests a rule takes."""
    return [
        {
            "Field": "http-header",
            "HttpHeaderConfig": {"HttpHeaderName": header.take("httpHeaderName"), "Values": header.take("values")},
        }
        for condition in inputs.each("conditions")
        if (header := condition.nested("httpHeader"))
    ]


def _target_group_name(inputs: Inputs) -> str:
    prefix = inputs.take("namePrefix")
    if prefix is None:
        return inputs.autoname("name", max_length=32)
    # The provider adds 26 digits to a prefix; here they follow from the resource's name, so that each run is the same.
    digits = int(hashlib.sha256(f"{inputs.name}{inputs.known.get(REPLACING, '')}".encode()).hexdigest(), 16) % 10**26
    return f"{prefix}{digits:026}"


def actions(inputs: Inputs, name: str) -> list[dict[str, Any]]:
    """What becomes of a request, without the tokens' check that moto refuses."""
    sent = []
    for action in inputs.each(name):
        kind = action.take("type")
        if kind == "jwt-validation":
            action.skip("jwtValidation", "moto 5.2.5 refuses jwt-validation actions; requests pass without a token")
            action.take("order")
            continue
        made: dict[str, Any] = {"Type": kind}
        if order := action.take("order"):
            made["Order"] = order
        if group := action.take("targetGroupArn"):
            made["TargetGroupArn"] = group
        if forward := action.nested("forward"):
            groups = [
                {"TargetGroupArn": group.take("arn"), "Weight": group.take("weight", 1)}
                for group in forward.each("targetGroups")
            ]
            made["ForwardConfig"] = {"TargetGroups": groups}
        sent.append(made)
    return sent


def _tags(inputs: Inputs) -> dict[str, Any]:
    """The API takes one tag or more, or no list at all."""
    tags = inputs.tags()
    return {"Tags": tags} if tags else {}


def _attributes(values: Attributes) -> list[dict[str, str]]:
    return [
        {"Key": key, "Value": str(value).lower() if isinstance(value, bool) else str(value)}
        for key, value in values.items()
        if value is not None
    ]
