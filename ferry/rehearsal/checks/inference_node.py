"""What has to be true of a node: image, metadata, volumes, addresses, rights, and whom it can talk to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ferry.rehearsal.checks import Seen, Stack, check
from ferry.rehearsal.checks.inference_fleet import agent_config, groups, launch_template, seen
from ferry.rehearsal.checks.roles import NOTHING, compared, granted, only_if
from ferry.rehearsal.handlers import Account
from stacks.patch_sources import patch_buckets
from stacks.settings import ModelVersion

WITHOUT_RESOURCE = frozenset(
    {
        "ecr:GetAuthorizationToken",
        "ssm:GetDeployablePatchSnapshotForInstance",
        "ssm:PutComplianceItems",
        "ssm:PutInventory",
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    }
)
"""Actions that IAM does not narrow to a resource, of those that a node needs:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html"""

ENGINE_PORT = 8000


@check
def nodes_start_from_the_image_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """The image that the stack's SSM parameter names."""
    for version, group in groups(account, stack):
        named = account.client("ssm").get_parameter(Name=version.fleet.ami_parameter)["Parameter"]["Value"]
        yield seen(group, named, launch_template(account, group)["ImageId"])


@check
def nodes_answer_metadata_requests_with_a_token_only(account: Account, stack: Stack) -> Iterator[Seen]:
    """IMDSv2, and not as far as into a container, where the engine is."""
    for _, group in groups(account, stack):
        found = launch_template(account, group).get("MetadataOptions", {})
        yield seen(
            group,
            "tokens required, 1 hop",
            f"tokens {found.get('HttpTokens', 'optional')}, {found.get('HttpPutResponseHopLimit', 'any')} hop",
        )


@check
def nodes_have_encrypted_volumes(account: Account, stack: Stack) -> Iterator[Seen]:
    """The root volume, which is the image's root device and no second one, and whatever else is attached."""
    for version, group in groups(account, stack):
        data = launch_template(account, group)
        images = account.client("ec2").describe_images(ImageIds=[data["ImageId"]])["Images"]
        found = [
            f"{device['DeviceName']} {ebs['VolumeSize']} GiB {ebs['VolumeType']}"
            f"{', encrypted' if ebs.get('Encrypted') else ', not encrypted'}"
            for device in data["BlockDeviceMappings"]
            for ebs in (device["Ebs"],)
        ]
        root = images[0]["RootDeviceName"]
        yield seen(group, f"{root} {version.fleet.root_volume_gib} GiB gp3, encrypted", "; ".join(found) or "none")


@check
def nodes_have_no_public_address(account: Account, stack: Stack) -> Iterator[Seen]:
    """Said by the template, whatever the subnet does."""
    for _, group in groups(account, stack):
        interfaces = launch_template(account, group).get("NetworkInterfaces", [])
        found = {str(interface.get("AssociatePublicIpAddress", "as the subnet says")) for interface in interfaces}
        yield seen(group, "False", ", ".join(sorted(found)) or "as the subnet says")


@check
def volumes_and_addresses_of_nodes_are_tagged(account: Account, stack: Stack) -> Iterator[Seen]:
    """A group's tags reach its instances only; the template's reach what is made with them."""
    for _, group in groups(account, stack):
        tagged = {
            one["ResourceType"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]}
            for one in launch_template(account, group).get("TagSpecifications", [])
        }
        kinds = ("instance", "network-interface", "volume")
        found = [kind for kind in kinds if stack.settings.tags.items() <= tagged.get(kind, {}).items()]
        yield seen(group, ", ".join(kinds), ", ".join(found) or "none")


@check
def nodes_take_requests_from_the_gateway_only(account: Account, stack: Stack) -> Iterator[Seen]:
    """Ingress of the nodes' security group."""
    gateway = account.client("elbv2").describe_load_balancers(LoadBalancerArns=[stack.outputs["load_balancer_arn"]])
    sources = gateway["LoadBalancers"][0]["SecurityGroups"]
    expected = "; ".join(sorted(f"tcp {ENGINE_PORT} {source}" for source in sources))
    for _, group in groups(account, stack):
        yield seen(group, expected, "; ".join(_permissions(account, group, "IpPermissions")) or "nobody")


@check
def nodes_reach_only_s3_and_the_endpoints(account: Account, stack: Stack) -> Iterator[Seen]:
    """Egress of the nodes' security group: HTTPS, and no address outside the VPC but S3's."""
    expected = "; ".join(egress_to_s3_and_endpoints(account, stack))
    for _, group in groups(account, stack):
        yield seen(group, expected, "; ".join(_permissions(account, group, "IpPermissionsEgress")) or "nothing")


def egress_to_s3_and_endpoints(account: Account, stack: Stack) -> list[str]:
    """`protocol port peer` for each rule that a node in the private subnets needs."""
    endpoints = account.client("ec2").describe_vpc_endpoints(
        Filters=[{"Name": "vpc-id", "Values": [stack.outputs["vpc_id"]]}]
    )["VpcEndpoints"]
    lists = account.client("ec2").describe_managed_prefix_lists()["PrefixLists"]
    s3 = [one["PrefixListId"] for one in lists if one["PrefixListName"].endswith(f".{stack.settings.region}.s3")]
    interfaces = {
        one if isinstance(one, str) else one["GroupId"]
        for endpoint in endpoints
        if endpoint["VpcEndpointType"] == "Interface"
        for one in endpoint.get("Groups", [])
    }
    return sorted(f"tcp 443 {peer}" for peer in {*s3, *interfaces})


def _permissions(account: Account, group: Mapping[str, Any], direction: str) -> list[str]:
    interfaces = launch_template(account, group).get("NetworkInterfaces", [])
    return permissions(account, [id_ for interface in interfaces for id_ in interface["Groups"]], direction)


def permissions(account: Account, security_group_ids: list[str], direction: str) -> list[str]:
    """`protocol port peer` for each rule of security groups; `direction`: `IpPermissions` or `IpPermissionsEgress`."""
    found = []
    for security_group in account.client("ec2").describe_security_groups(GroupIds=security_group_ids)["SecurityGroups"]:
        for rule in security_group[direction]:
            ports = sorted({str(rule.get("FromPort", "all")), str(rule.get("ToPort", "all"))})
            peers = [
                *(peer["CidrIp"] for peer in rule["IpRanges"]),
                *(peer["CidrIpv6"] for peer in rule["Ipv6Ranges"]),
                *(peer["GroupId"] for peer in rule["UserIdGroupPairs"]),
                *(peer["PrefixListId"] for peer in rule["PrefixListIds"]),
            ]
            found += [f"{rule['IpProtocol']} {'-'.join(ports)} {peer}" for peer in peers]
    return sorted(found)


@check
def nodes_may_do_what_serving_needs_and_nothing_else(account: Account, stack: Stack) -> Iterator[Seen]:
    """The permissions of the instance role, each an action on a resource, against those that boot and serving take."""
    for version, group in groups(account, stack):
        role = role_of(account, group)
        yield Seen(role, NOTHING, compared(_needed(account, stack, version, group), granted(account, role)))


def _needed(account: Account, stack: Stack, version: ModelVersion, group: Mapping[str, Any]) -> set[str]:
    own = f"{account.region}:{account.account_id}"
    bucket = f"arn:{account.partition}:s3:::{stack.outputs['model_bucket']}"
    image = version.engine.image.partition("@")[0].partition(":")[0]
    logs = f"arn:{account.partition}:logs:{own}:log-group:{_log_group(account, group)}"
    s3 = f"s3.{account.region}.amazonaws.com{'.cn' if account.partition == 'aws-cn' else ''}"
    needed = {
        "s3:GetObject": [
            f"{bucket}/models/{version.model}/*",
            f"{bucket}/channels/{version.model}/*",
            f"{bucket}/bundles/*",
            *patch_sources(account, stack),
        ],
        "s3:ListBucket": [bucket + only_if({"StringLike": {"s3:prefix": f"models/{version.model}/*"}})],
        "kms:Decrypt": [stack.outputs["model_key_arn"] + only_if({"StringEquals": {"kms:ViaService": s3}})],
        "autoscaling:CompleteLifecycleAction": [
            f"arn:{account.partition}:autoscaling:{own}:autoScalingGroup:*:autoScalingGroupName/"
            f"{group['AutoScalingGroupName']}"
        ],
        **{
            f"ecr:{action}": [f"arn:{account.partition}:ecr:{own}:repository/{image}"]
            for action in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
        },
        **{
            f"logs:{action}": [logs, f"{logs}:*"]
            for action in ("CreateLogStream", "DescribeLogStreams", "PutLogEvents")
        },
        **{action: ["*"] for action in WITHOUT_RESOURCE},
    }
    return {f"{action} on {resource}" for action, resources in needed.items() for resource in resources}


def patch_sources(account: Account, stack: Stack) -> list[str]:
    """Objects of AWS's own buckets that a scan for missing patches reads."""
    buckets = patch_buckets(stack.settings.region, stack.settings.patching.script_bucket)
    return [f"arn:{account.partition}:s3:::{bucket}/*" for bucket in buckets]


def role_of(account: Account, group: Mapping[str, Any]) -> str:
    """Name of the role that a group's nodes have."""
    profile = launch_template(account, group)["IamInstanceProfile"]["Arn"].rpartition("/")[2]
    found = account.client("iam").get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]
    return str(found["Roles"][0]["RoleName"])


def _log_group(account: Account, group: Mapping[str, Any]) -> str:
    """Where the agent on the node writes, as its configuration says."""
    return str(agent_config(account, group)["metrics_collected"]["prometheus"]["log_group_name"])
