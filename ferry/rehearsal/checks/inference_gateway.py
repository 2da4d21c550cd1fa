"""What has to be true of the load balancer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ferry.rehearsal.checks import Seen, Stack, check
from ferry.rehearsal.checks.gateway_tier import security_groups
from ferry.rehearsal.checks.inference_node import permissions
from ferry.rehearsal.handlers import Account


@check
def gateway_listens_on_https_only(account: Account, stack: Stack) -> Iterator[Seen]:
    """No listener but the one on 443: there is nothing to redirect for, the clients are programs."""
    listeners = account.client("elbv2").describe_listeners(LoadBalancerArn=stack.outputs["load_balancer_arn"])
    for listener in listeners["Listeners"]:
        yield Seen(listener["ListenerArn"], "HTTPS:443", f"{listener['Protocol']}:{listener['Port']}")


@check
def gateway_speaks_tls_1_2_and_1_3_only(account: Account, stack: Stack) -> Iterator[Seen]:
    """The listener's policy, asked for its protocols."""
    policy = _listener(account, stack)["SslPolicy"]
    found = account.client("elbv2").describe_ssl_policies(Names=[policy])["SslPolicies"]
    protocols = sorted(protocol for one in found for protocol in one["SslProtocols"])
    yield Seen(policy, "TLSv1.2 TLSv1.3", " ".join(protocols))


@check
def gateway_shows_the_certificate_of_its_domain(account: Account, stack: Stack) -> Iterator[Seen]:
    """The listener's certificate is issued, for the domain that the stack names."""
    for certificate in _listener(account, stack)["Certificates"]:
        arn = certificate["CertificateArn"]
        found = account.client("acm").describe_certificate(CertificateArn=arn)["Certificate"]
        yield Seen(arn, f"{stack.settings.gateway.domain_name} ISSUED", f"{found['DomainName']} {found['Status']}")


@check
def traffic_goes_by_the_weights_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """The listener's default action, one line for each target group in it and each version that should be."""
    forward = next(action for action in _listener(account, stack)["DefaultActions"] if action["Type"] == "forward")
    found = {group["TargetGroupArn"]: group["Weight"] for group in forward["ForwardConfig"]["TargetGroups"]}
    arns: Mapping[str, str] = stack.outputs["target_group_arns"]
    expected = {arns[version.name]: version.weight for version in stack.settings.model_versions}
    for arn in sorted(expected.keys() | found.keys()):
        yield Seen(arn, f"weight {expected.get(arn, 'none')}", f"weight {found.get(arn, 'none')}")


@check
def a_header_pins_each_version(account: Account, stack: Stack) -> Iterator[Seen]:
    """One rule for each version: the stack's header with the version's name goes to the version's target group."""
    rules = account.client("elbv2").describe_rules(ListenerArn=stack.outputs["listener_arn"])["Rules"]
    routes = [route for rule in rules if not rule["IsDefault"] for route in _routes(rule)]
    for version in stack.settings.model_versions:
        arn = stack.outputs["target_group_arns"][version.name]
        expected = f"{stack.settings.gateway.version_header}: {version.name}"
        yield Seen(arn, expected, "; ".join(header for header, target in routes if target == arn) or "no rule")


@check
def gateway_admits_only_the_addresses_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """Ingress of the load balancer's security groups."""
    allowed = [f"tcp 443 {cidr}" for cidr in stack.settings.gateway.allowed_cidrs]
    if door := stack.outputs.get("gateway_tier_door_arn"):
        allowed += [f"tcp 443 {group}" for group in security_groups(account, door)]
    allowed.sort()
    found = _permissions(account, stack, "IpPermissions")
    yield Seen(stack.outputs["load_balancer_arn"], "; ".join(allowed) or "nobody", "; ".join(found) or "nobody")


@check
def gateway_reaches_only_its_fleets(account: Account, stack: Stack) -> Iterator[Seen]:
    """Egress: the engines' port of each fleet's nodes; and HTTPS, where it has to fetch the keys of tokens."""
    expected = {f"tcp 8000 {group}" for group in _node_groups(account, stack)}
    if stack.settings.gateway.jwt:
        expected.add("tcp 443 0.0.0.0/0")
    found = _permissions(account, stack, "IpPermissionsEgress")
    yield Seen(stack.outputs["load_balancer_arn"], "; ".join(sorted(expected)), "; ".join(found) or "nothing")


@check
def gateway_lies_in_the_public_subnets(account: Account, stack: Stack) -> Iterator[Seen]:
    """And in no other: the private ones are the nodes'."""
    found = sorted(zone["SubnetId"] for zone in _load_balancer(account, stack)["AvailabilityZones"])
    yield Seen(
        stack.outputs["load_balancer_arn"], " ".join(sorted(stack.outputs["public_subnet_ids"])), " ".join(found)
    )


@check
def gateway_writes_access_logs(account: Account, stack: Stack) -> Iterator[Seen]:
    """To the access-log bucket, below the prefix that its policy opens."""
    found = _attributes(account, stack)
    where = f"{found.get('access_logs.s3.bucket', '')}/{found.get('access_logs.s3.prefix', '')}"
    yield Seen(
        stack.outputs["load_balancer_arn"],
        f"{stack.outputs['access_log_bucket']}/alb",
        where if found.get("access_logs.s3.enabled") == "true" else "off",
    )


@check
def gateway_waits_for_long_generations(account: Account, stack: Stack) -> Iterator[Seen]:
    """An answer may be silent for as long as the stack says."""
    found = _attributes(account, stack).get("idle_timeout.timeout_seconds", "60")
    yield Seen(stack.outputs["load_balancer_arn"], f"{stack.settings.gateway.idle_timeout_seconds} s", f"{found} s")


@check
def gateway_drops_invalid_headers(account: Account, stack: Stack) -> Iterator[Seen]:
    """A malformed header never reaches an engine."""
    found = _attributes(account, stack).get("routing.http.drop_invalid_header_fields.enabled", "false")
    yield Seen(stack.outputs["load_balancer_arn"], "true", found)


@check
def gateway_is_protected_from_deletion(account: Account, stack: Stack) -> Iterator[Seen]:
    """Everywhere but in a disposable stack."""
    expected = "false" if stack.settings.audit.mode == "disposable" else "true"
    found = _attributes(account, stack).get("deletion_protection.enabled", "false")
    yield Seen(stack.outputs["load_balancer_arn"], expected, found)


@check
def a_node_finishes_its_generations_before_it_goes(account: Account, stack: Stack) -> Iterator[Seen]:
    """Deregistration delay of each target group."""
    for arn in stack.outputs["target_group_arns"].values():
        found = _target_group_attributes(account, arn)["deregistration_delay.timeout_seconds"]
        yield Seen(arn, f"{stack.settings.gateway.deregistration_delay_seconds} s", f"{found} s")


@check
def requests_go_to_the_node_with_the_fewest(account: Account, stack: Stack) -> Iterator[Seen]:
    """Routing algorithm of each target group."""
    for arn in stack.outputs["target_group_arns"].values():
        yield Seen(
            arn, "least_outstanding_requests", _target_group_attributes(account, arn)["load_balancing.algorithm.type"]
        )


@check
def only_nodes_that_answer_get_requests(account: Account, stack: Stack) -> Iterator[Seen]:
    """Health check of each target group."""
    arns = list(stack.outputs["target_group_arns"].values())
    for group in account.client("elbv2").describe_target_groups(TargetGroupArns=arns)["TargetGroups"]:
        found = (
            f"{group['HealthCheckProtocol']} {group['HealthCheckPath']} {group['Matcher']['HttpCode']}"
            if group["HealthCheckEnabled"]
            else "off"
        )
        yield Seen(group["TargetGroupArn"], "HTTP /health 200", found)


def _load_balancer(account: Account, stack: Stack) -> Any:
    arns = [stack.outputs["load_balancer_arn"]]
    return account.client("elbv2").describe_load_balancers(LoadBalancerArns=arns)["LoadBalancers"][0]


def _listener(account: Account, stack: Stack) -> Any:
    arns = [stack.outputs["listener_arn"]]
    return account.client("elbv2").describe_listeners(ListenerArns=arns)["Listeners"][0]


def _attributes(account: Account, stack: Stack) -> dict[str, str]:
    arn = stack.outputs["load_balancer_arn"]
    found = account.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    return {attribute["Key"]: attribute["Value"] for attribute in found}


def _target_group_attributes(account: Account, arn: str) -> dict[str, str]:
    found = account.client("elbv2").describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    return {attribute["Key"]: attribute["Value"] for attribute in found}


def _routes(rule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """`header: value` and target group, for each that the rule leads to."""
    headers = [
        f"{condition['HttpHeaderConfig']['HttpHeaderName']}: {', '.join(condition['HttpHeaderConfig']['Values'])}"
        for condition in rule["Conditions"]
        if condition["Field"] == "http-header"
    ]
    for action in rule["Actions"]:
        if action["Type"] == "forward":
            yield " and ".join(headers), action["TargetGroupArn"]


def _permissions(account: Account, stack: Stack, direction: str) -> list[str]:
    """`protocol port source`, for each source or destination of each rule of the load balancer's security groups."""
    return permissions(account, security_groups(account, stack.outputs["load_balancer_arn"]), direction)


def _node_groups(account: Account, stack: Stack) -> set[str]:
    """Security groups of the nodes, as the launch templates name them."""
    groups: set[str] = set()
    for template in stack.outputs["launch_template_ids"].values():
        versions = account.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=template, Versions=["$Latest"]
        )["LaunchTemplateVersions"]
        for interface in versions[0]["LaunchTemplateData"]["NetworkInterfaces"]:
            groups |= set(interface["Groups"])
    return groups
