"""Each check of the network, and of openness, is proven by an account in which exactly it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest


def of(rehearsed: Any) -> tuple[Any, Any]:
    return rehearsed.account.client("ec2"), rehearsed.stack.outputs


def open_a_way_out(prod: Any) -> None:
    ec2, outputs = of(prod)
    tables = ec2.describe_route_tables(
        Filters=[{"Name": "association.subnet-id", "Values": [outputs["private_subnet_ids"][0]]}]
    )
    gateway = ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [outputs["vpc_id"]]}])[
        "InternetGateways"
    ][0]["InternetGatewayId"]
    ec2.create_route(
        RouteTableId=tables["RouteTables"][0]["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
    )


def close_the_way_of_the_load_balancer(prod: Any) -> None:
    ec2, outputs = of(prod)
    tables = ec2.describe_route_tables(
        Filters=[{"Name": "association.subnet-id", "Values": [outputs["public_subnet_ids"][0]]}]
    )
    ec2.delete_route(RouteTableId=tables["RouteTables"][0]["RouteTableId"], DestinationCidrBlock="0.0.0.0/0")


def hand_out_addresses(prod: Any) -> None:
    ec2, outputs = of(prod)
    ec2.modify_subnet_attribute(SubnetId=outputs["private_subnet_ids"][1], MapPublicIpOnLaunch={"Value": True})


def delete_endpoint(name: str) -> Callable[[Any], None]:
    def delete(prod: Any) -> None:
        ec2, _ = of(prod)
        found = ec2.describe_vpc_endpoints(Filters=[{"Name": "service-name", "Values": [name]}])["VpcEndpoints"]
        ec2.delete_vpc_endpoints(VpcEndpointIds=[one["VpcEndpointId"] for one in found])

    return delete


def endpoint_group(prod: Any) -> str:
    ec2, _ = of(prod)
    endpoints = ec2.describe_vpc_endpoints(
        Filters=[{"Name": "service-name", "Values": ["com.amazonaws.us-east-1.kms"]}]
    )
    return str(endpoints["VpcEndpoints"][0]["Groups"][0]["GroupId"])


def let_another_network_in(prod: Any) -> None:
    ec2, _ = of(prod)
    ec2.authorize_security_group_ingress(
        GroupId=endpoint_group(prod),
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}],
    )


def stop_the_flow_logs(prod: Any) -> None:
    ec2, outputs = of(prod)
    logs = ec2.describe_flow_logs()["FlowLogs"]
    kept = next(log for log in logs if log["ResourceId"] == outputs["vpc_id"])
    ec2.delete_flow_logs(FlowLogIds=[kept["FlowLogId"]])
    ec2.create_flow_logs(
        ResourceType="VPC",
        ResourceIds=[outputs["vpc_id"]],
        TrafficType="ACCEPT",
        LogDestinationType="cloud-watch-logs",
        LogDestination=kept["LogDestination"],
        DeliverLogsPermissionArn=kept["DeliverLogsPermissionArn"],
    )


def forget_flow_logs_early(prod: Any) -> None:
    groups = prod.account.client("logs").describe_log_groups()["logGroups"]
    name = next(group["logGroupName"] for group in groups if "flow-logs" in group["logGroupName"])
    prod.account.client("logs").put_retention_policy(logGroupName=name, retentionInDays=7)


def use_the_default_group(prod: Any) -> None:
    ec2, outputs = of(prod)
    group = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [outputs["vpc_id"]]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"][0]["GroupId"]
    ec2.authorize_security_group_egress(
        GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    )


def open_a_group_to_the_world(prod: Any) -> None:
    ec2, outputs = of(prod)
    group = ec2.create_security_group(GroupName="debug", Description="debug", VpcId=outputs["vpc_id"])["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}],
    )


def open_a_bucket_to_the_world(prod: Any) -> None:
    s3, bucket = prod.account.client("s3"), prod.stack.outputs["model_bucket"]
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    policy["Statement"].append(
        {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    )
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


@pytest.mark.parametrize(
    ("mutation", "check"),
    [
        (open_a_way_out, "nodes have no route to the internet"),
        (close_the_way_of_the_load_balancer, "the load balancers subnets reach the internet"),
        (hand_out_addresses, "no subnet hands out public addresses"),
        (delete_endpoint("com.amazonaws.us-east-1.ssmmessages"), "nodes reach the services that they call"),
        (delete_endpoint("com.amazonaws.us-east-1.s3"), "nodes reach s3"),
        (let_another_network_in, "endpoints take https from the vpc only"),
        (stop_the_flow_logs, "flow logs record all traffic"),
        (forget_flow_logs_early, "flow logs are encrypted and kept"),
        (use_the_default_group, "the default security group lets nothing through"),
        (open_a_group_to_the_world, "no security group is open to the world"),
        (open_a_bucket_to_the_world, "no bucket policy is open to the world"),
    ],
)
def test_exactly_the_check_that_is_about_it_fails(
    own_rehearsed: Any, failed_checks: Any, mutation: Callable[[Any], None], check: str
) -> None:
    prod = own_rehearsed("prod")
    mutation(prod)
    assert failed_checks(prod) == [check]


def test_a_network_in_fewer_zones_than_the_stack_asks_for_is_found(rehearsed: Any) -> None:
    from ferry.rehearsal.checks.network import the_network_spans_the_zones_of_the_stack

    prod = rehearsed("prod")
    fewer = {**prod.stack.outputs, "private_subnet_ids": prod.stack.outputs["private_subnet_ids"][:2]}
    seen = list(the_network_spans_the_zones_of_the_stack(prod.account, replace(prod.stack, outputs=fewer)))
    assert [(one.resource, one.expected, one.found) for one in seen] == [
        ("public subnets", "3 zones", "3 zones"),
        ("private subnets", "3 zones", "2 zones"),
    ]
