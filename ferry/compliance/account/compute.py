"""Launch templates, groups, and the load balancer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ferry.compliance.account.calls import Account
from ferry.compliance.resource import Resource


def read(account: Account) -> Iterator[Resource]:
    """What serves."""
    yield from _templates(account)
    yield from _groups(account)
    yield from _balancers(account)


def _templates(account: Account) -> Iterator[Resource]:
    ec2 = account.of("ec2")
    for template in account.pages("ec2", "describe_launch_templates", "LaunchTemplates", Filters=account.tagged):
        id_ = template["LaunchTemplateId"]
        versions = ec2.describe_launch_template_versions(LaunchTemplateId=id_, Versions=["$Latest", "$Default"])
        for version in versions["LaunchTemplateVersions"]:
            name = f"{template['LaunchTemplateName']}@{version['VersionNumber']}"
            properties = _template(version["LaunchTemplateData"]) | {"tags": account.tags(template["Tags"])}
            yield Resource("aws:ec2/launchTemplate:LaunchTemplate", name, properties, id=id_)


def _template(data: dict[str, Any]) -> dict[str, Any]:
    metadata = data.get("MetadataOptions", {})
    return {
        "metadataOptions": {
            "httpTokens": metadata.get("HttpTokens"),
            "httpPutResponseHopLimit": metadata.get("HttpPutResponseHopLimit"),
        },
        "blockDeviceMappings": [
            {"deviceName": one.get("DeviceName"), "ebs": {"encrypted": one["Ebs"].get("Encrypted")}}
            for one in data.get("BlockDeviceMappings", [])
            if "Ebs" in one
        ],
        "networkInterfaces": [
            {"associatePublicIpAddress": one.get("AssociatePublicIpAddress")}
            for one in data.get("NetworkInterfaces", [])
        ],
        "keyName": data.get("KeyName"),
        "userData": data.get("UserData"),
    }


def _groups(account: Account) -> Iterator[Resource]:
    for group in account.pages("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups"):
        if not account.owns(group["Tags"]):
            continue
        name = group["AutoScalingGroupName"]
        properties = {
            "name": name,
            "minSize": group["MinSize"],
            "maxSize": group["MaxSize"],
            "vpcZoneIdentifiers": [one for one in group["VPCZoneIdentifier"].split(",") if one],
            "tags": [{"key": one["Key"], "value": one["Value"]} for one in group["Tags"]],
        }
        yield Resource("aws:autoscaling/group:Group", name, properties, id=name)
        for policy in account.pages("autoscaling", "describe_policies", "ScalingPolicies", AutoScalingGroupName=name):
            yield Resource("aws:autoscaling/policy:Policy", policy["PolicyName"], {"autoscalingGroupName": name})


def _balancers(account: Account) -> Iterator[Resource]:
    elb = account.of("elbv2")
    for balancer in account.pages("elbv2", "describe_load_balancers", "LoadBalancers"):
        arn = balancer["LoadBalancerArn"]
        tags = elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
        if not account.owns(tags):
            continue
        set_ = {
            one["Key"]: one["Value"] for one in elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        }
        properties = {
            "loadBalancerType": balancer["Type"],
            "subnets": [zone["SubnetId"] for zone in balancer["AvailabilityZones"]],
            "enableDeletionProtection": set_.get("deletion_protection.enabled") == "true",
            "accessLogs": {
                "enabled": set_.get("access_logs.s3.enabled") == "true",
                "bucket": set_.get("access_logs.s3.bucket"),
            },
            "tags": account.tags(tags),
        }
        yield Resource("aws:lb/loadBalancer:LoadBalancer", balancer["LoadBalancerName"], properties, id=arn)
        for listener in account.pages("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=arn):
            tags = elb.describe_tags(ResourceArns=[listener["ListenerArn"]])["TagDescriptions"][0]["Tags"]
            yield Resource(
                "aws:lb/listener:Listener",
                listener["ListenerArn"].rpartition("/")[2],
                {
                    "protocol": listener["Protocol"],
                    "port": listener["Port"],
                    "sslPolicy": listener.get("SslPolicy"),
                    "defaultActions": [{"type": one["Type"]} for one in listener["DefaultActions"]],
                    "tags": account.tags(tags),
                },
            )
