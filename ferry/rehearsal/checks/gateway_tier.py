"""What has to be true of the gateway in the cloud; where the stack asks for none, that there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ferry.rehearsal.checks import Seen, Stack, check
from ferry.rehearsal.checks.inference_fleet import boot_files, launch_template
from ferry.rehearsal.checks.inference_node import (
    WITHOUT_RESOURCE,
    egress_to_s3_and_endpoints,
    patch_sources,
    permissions,
    role_of,
)
from ferry.rehearsal.checks.roles import NOTHING, compared, granted, only_if
from ferry.rehearsal.handlers import Account
from stacks.settings import GatewayTierSettings, gateway_group_name

PORT = 8080
KINDS = ("instance", "network-interface", "volume")
"""What is made with a node, and tagged by the template."""
NONE = "no gateway in the cloud"


@check
def a_gateway_also_runs_in_the_cloud_where_the_stack_asks_for_it(account: Account, stack: Stack) -> Iterator[Seen]:
    """Its group: sizes, private subnets, target group, and that Envoy's listening counts as health."""
    tier, name = stack.settings.gateway_tier, gateway_group_name(stack.settings.environment)
    found = _groups(account, stack)
    if tier is None:
        yield Seen("the stack", NONE, name if found else NONE)
        return
    subnets = " ".join(sorted(stack.outputs["private_subnet_ids"]))
    expected = f"{tier.min_size} to {tier.max_size} of {tier.instance_type} in {subnets}, ELB, 1 target group"
    yield Seen(name, expected, "; ".join(_described(account, group) for group in found) or "none")


def _described(account: Account, group: Mapping[str, Any]) -> str:
    kind, targets = launch_template(account, group)["InstanceType"], len(group["TargetGroupARNs"])
    return (
        f"{group['MinSize']} to {group['MaxSize']} of {kind} in "
        f"{' '.join(sorted(group['VPCZoneIdentifier'].split(',')))}, {group['HealthCheckType']}, {targets} target group"
    )


@check
def clients_reach_the_gateway_in_the_cloud_by_tls_only(account: Account, stack: Stack) -> Iterator[Seen]:
    """Every listener of its load balancer: protocol, port, versions of TLS, certificate; and where it leads to."""
    tier = stack.settings.gateway_tier
    if tier is None:
        yield _absent(stack, "gateway_tier_load_balancer_arn")
        return
    (group,) = _groups(account, stack)
    elbv2, arn = account.client("elbv2"), stack.outputs["gateway_tier_load_balancer_arn"]
    domain = tier.domain_name or stack.settings.gateway.domain_name
    expected = f"TLS:443 TLSv1.2 TLSv1.3 {domain} ISSUED to {' '.join(group['TargetGroupARNs'])} on {PORT}"
    for listener in elbv2.describe_listeners(LoadBalancerArn=arn)["Listeners"]:
        policies = elbv2.describe_ssl_policies(Names=[listener["SslPolicy"]])["SslPolicies"]
        protocols = " ".join(sorted(protocol for one in policies for protocol in one["SslProtocols"]))
        shown = [
            account.client("acm").describe_certificate(CertificateArn=one["CertificateArn"])["Certificate"]
            for one in listener.get("Certificates", [])
        ]
        certificate = " ".join(f"{one['DomainName']} {one['Status']}" for one in shown) or "no certificate"
        targets = [action["TargetGroupArn"] for action in listener["DefaultActions"]]
        ports = {one["Port"] for one in elbv2.describe_target_groups(TargetGroupArns=targets)["TargetGroups"]}
        yield Seen(
            listener["ListenerArn"],
            expected,
            f"{listener['Protocol']}:{listener['Port']} {protocols} {certificate} to {' '.join(targets)} on "
            f"{' '.join(map(str, ports))}",
        )


@check
def the_gateway_in_the_cloud_admits_only_the_addresses_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """Ingress of its load balancer's security groups."""
    tier = stack.settings.gateway_tier
    if tier is None:
        yield _absent(stack, "gateway_tier_load_balancer_arn")
        return
    arn = stack.outputs["gateway_tier_load_balancer_arn"]
    found = permissions(account, security_groups(account, arn), "IpPermissions")
    allowed = sorted(f"tcp 443 {cidr}" for cidr in tier.allowed_cidrs)
    yield Seen(arn, "; ".join(allowed) or "nobody", "; ".join(found) or "nobody")


@check
def gateways_in_the_cloud_are_closed_machines(account: Account, stack: Stack) -> Iterator[Seen]:
    """No key pair, no public address, IMDSv2 not as far as into a container, an encrypted root volume, tags."""
    tier = stack.settings.gateway_tier
    if tier is None:
        yield _absent(stack, "gateway_tier_group_name")
        return
    for group in _groups(account, stack):
        data = launch_template(account, group)
        metadata = data.get("MetadataOptions", {})
        root = account.client("ec2").describe_images(ImageIds=[data["ImageId"]])["Images"][0]["RootDeviceName"]
        tagged = sorted(
            one["ResourceType"]
            for one in data.get("TagSpecifications", [])
            if one["ResourceType"] in KINDS
            and stack.settings.tags.items() <= {tag["Key"]: tag["Value"] for tag in one["Tags"]}.items()
        )
        found = [
            f"key {data.get('KeyName', 'none')}",
            f"public {[each.get('AssociatePublicIpAddress') for each in data['NetworkInterfaces']]}",
            f"tokens {metadata.get('HttpTokens')}, {metadata.get('HttpPutResponseHopLimit')} hop",
            *(f"{each['DeviceName']} encrypted {each['Ebs'].get('Encrypted')}" for each in data["BlockDeviceMappings"]),
            f"tagged {tagged}",
        ]
        expected = f"key none; public [False]; tokens required, 1 hop; {root} encrypted True; tagged {[*KINDS]}"
        yield Seen(group["AutoScalingGroupName"], expected, "; ".join(found))


@check
def gateways_in_the_cloud_are_confidential_where_the_stack_asks_for_it(
    account: Account, stack: Stack
) -> Iterator[Seen]:
    """AMD SEV-SNP in the launch template. The embedded account's own machines have none: only a report proves it."""
    tier = stack.settings.gateway_tier
    if tier is None:
        yield _absent(stack, "gateway_tier_group_name")
        return
    for group in _groups(account, stack):
        found = launch_template(account, group).get("CpuOptions", {}).get("AmdSevSnp", "disabled")
        expected = "enabled" if tier.confidential else "disabled"
        yield Seen(group["AutoScalingGroupName"], f"AMD SEV-SNP {expected}", f"AMD SEV-SNP {found}")


@check
def gateways_in_the_cloud_talk_to_nobody_else(account: Account, stack: Stack) -> Iterator[Seen]:
    """In: their load balancer. Out: S3, the endpoints, the inner door, and the engine at home where there is one."""
    tier = stack.settings.gateway_tier
    if tier is None:
        yield _absent(stack, "gateway_tier_group_name")
        return
    front = security_groups(account, stack.outputs["gateway_tier_load_balancer_arn"])
    out = [f"tcp 443 {door}" for door in security_groups(account, stack.outputs["gateway_tier_door_arn"])]
    if tier.home_engine:
        host, _, port = tier.home_engine.rpartition(":")
        out.append(f"tcp {port} {host}/32")
    for group in _groups(account, stack):
        data, name = launch_template(account, group), group["AutoScalingGroupName"]
        ids = [id_ for interface in data["NetworkInterfaces"] for id_ in interface["Groups"]]
        yield Seen(
            name,
            "; ".join(f"tcp {PORT} {one}" for one in front),
            "; ".join(permissions(account, ids, "IpPermissions")) or "nobody",
        )
        yield Seen(
            name,
            "; ".join(sorted({*out, *egress_to_s3_and_endpoints(account, stack)})),
            "; ".join(permissions(account, ids, "IpPermissionsEgress")) or "nothing",
        )


@check
def gateways_in_the_cloud_find_the_load_balancer_inside_the_vpc(account: Account, stack: Stack) -> Iterator[Seen]:
    """Its name leads to the inner door, which passes TCP through to it: else there is no way without the internet."""
    if stack.settings.gateway_tier is None:
        yield _absent(stack, "gateway_tier_door_arn")
        return
    elbv2, arn = account.client("elbv2"), stack.outputs["gateway_tier_door_arn"]
    door = elbv2.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
    domain, zones = stack.settings.gateway.domain_name, account.client("route53")
    found = [
        record["AliasTarget"]["DNSName"].rstrip(".")
        for zone in zones.list_hosted_zones_by_vpc(VPCId=stack.outputs["vpc_id"], VPCRegion=account.region)[
            "HostedZoneSummaries"
        ]
        for record in zones.list_resource_record_sets(HostedZoneId=zone["HostedZoneId"])["ResourceRecordSets"]
        if record["Name"].rstrip(".") == domain and record["Type"] == "A"
    ]
    yield Seen(domain, f"{door['DNSName']}, internal", f"{', '.join(found) or 'no record'}, {door['Scheme']}")
    for listener in elbv2.describe_listeners(LoadBalancerArn=arn)["Listeners"]:
        targets = [
            target["Target"]["Id"]
            for action in listener["DefaultActions"]
            for target in elbv2.describe_target_health(TargetGroupArn=action["TargetGroupArn"])[
                "TargetHealthDescriptions"
            ]
        ]
        yield Seen(
            arn,
            f"TCP:443 to {stack.outputs['load_balancer_arn']}",
            f"{listener['Protocol']}:{listener['Port']} to {', '.join(targets) or 'nothing'}",
        )


@check
def gateways_in_the_cloud_may_do_what_they_need_and_nothing_else(account: Account, stack: Stack) -> Iterator[Seen]:
    """The permissions of their role, each an action on a resource."""
    tier = stack.settings.gateway_tier
    if tier is None:
        yield _absent(stack, "gateway_tier_group_name")
        return
    for group in _groups(account, stack):
        role = role_of(account, group)
        yield Seen(role, NOTHING, compared(_needed(account, stack, tier, group), granted(account, role)))


def _needed(account: Account, stack: Stack, tier: GatewayTierSettings, group: Mapping[str, Any]) -> set[str]:
    own = f"{account.region}:{account.account_id}"
    archive = f"arn:{account.partition}:s3:::{stack.outputs['audit_bucket']}"
    suffix = ".cn" if account.partition == "aws-cn" else ""
    by_s3 = only_if({"StringEquals": {"kms:ViaService": f"s3.{account.region}.amazonaws.com{suffix}"}})
    log_group = _log_group(account, group)
    logs = f"arn:{account.partition}:logs:{own}:log-group:{log_group}"
    requests = f"{archive}/requests/cloud-*/*"
    needed = {
        "s3:GetObject": [
            f"arn:{account.partition}:s3:::{stack.outputs['model_bucket']}/bundles/*",
            requests,
            *patch_sources(account, stack),
        ],
        "s3:PutObject": [requests],
        "s3:ListBucket": [archive + only_if({"StringLike": {"s3:prefix": ["requests/cloud-*/*"]}})],
        "kms:Decrypt": [stack.outputs["model_key_arn"] + by_s3, stack.outputs["audit_key_arn"] + by_s3],
        "kms:GenerateDataKey": [stack.outputs["audit_key_arn"] + by_s3],
        **{
            f"ecr:{action}": [f"arn:{account.partition}:ecr:{own}:repository/{tier.image.partition(':')[0]}"]
            for action in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
        },
        **{
            f"logs:{action}": [logs, f"{logs}:*"]
            for action in ("CreateLogStream", "DescribeLogStreams", "PutLogEvents")
        },
        **{action: ["*"] for action in WITHOUT_RESOURCE},
    }
    return {f"{action} on {resource}" for action, resources in needed.items() for resource in resources}


@check
def clients_go_to_home_and_cloud_by_the_weight_of_the_record(account: Account, stack: Stack) -> Iterator[Seen]:
    """The two records of the clients' name: where they lead, and their weights."""
    tier = stack.settings.gateway_tier
    if tier is None or tier.record is None:
        yield Seen("the stack", "no record", "no record")
        return
    arn = stack.outputs["gateway_tier_load_balancer_arn"]
    cloud = account.client("elbv2").describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]["DNSName"]
    records = account.client("route53").list_resource_record_sets(HostedZoneId=tier.record.zone_id)
    found = sorted(
        f"{_leads_to(one)} {one.get('Weight', 'always')}"
        for one in records["ResourceRecordSets"]
        if one["Name"].rstrip(".") == tier.record.name and one["Type"] == "A"
    )
    home = f"{tier.record.home_address} {100 - tier.record.weight}"
    expected = sorted([home, f"{cloud} if healthy {tier.record.weight}"])
    yield Seen(tier.record.name, "; ".join(expected), "; ".join(found))


def _leads_to(record: Mapping[str, Any]) -> str:
    if alias := record.get("AliasTarget"):
        return f"{alias['DNSName'].rstrip('.')}{' if healthy' if alias['EvaluateTargetHealth'] else ''}"
    return ", ".join(each["Value"] for each in record["ResourceRecords"])


def security_groups(account: Account, load_balancer_arn: str) -> list[str]:
    """Those of a load balancer."""
    found = account.client("elbv2").describe_load_balancers(LoadBalancerArns=[load_balancer_arn])["LoadBalancers"]
    return sorted(id_ for one in found for id_ in one["SecurityGroups"])


def _groups(account: Account, stack: Stack) -> list[Mapping[str, Any]]:
    name = gateway_group_name(stack.settings.environment)
    found = account.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    return list(found["AutoScalingGroups"])


def _log_group(account: Account, group: Mapping[str, Any]) -> str:
    config = json.loads(boot_files(account, group)["/opt/ferry/agent.json"])
    return str(config["logs"]["logs_collected"]["files"]["collect_list"][0]["log_group_name"])


def _absent(stack: Stack, output: str) -> Seen:
    return Seen("the stack", NONE, str(stack.outputs.get(output, NONE)))
