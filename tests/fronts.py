"""The whole program with the provider behind it, over gRPC and without the CLI: what the engine would ask of it.

with provider_of(account) as (provider, stub):
    monkeypatch.setattr(program, "HANDLERS", dict.fromkeys(HANDLERS, by_the_provider(stub, made)))
    program.run(project, PROJECT, environment, config, account)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

import ferry.rehearsal.handlers
from ferry.rehearsal.engine import values
from ferry.rehearsal.engine.provider import Provider, serve
from ferry.rehearsal.handlers import Account, Created, Inputs
from stacks.settings import PROJECT
from tests.conftest import import_all


@dataclass(frozen=True)
class Made:
    """What the engine writes into its state of one resource."""

    urn: str
    id: str
    inputs: Any
    outputs: Any


@contextmanager
def provider_of(account: Any) -> Iterator[tuple[Provider, Any]]:
    """A provider that listens on loopback, and a stub of it."""
    import_all(ferry.rehearsal.handlers)
    provider = Provider(account, "7.0.0")
    server, port = serve(provider)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider, provider_pb2_grpc.ResourceProviderStub(channel)
    server.stop(None).wait()


def by_the_provider(
    stub: Any, made: list[Made], create_by: Callable[[Any], Any] | None = None
) -> Callable[[Account, Inputs], Created]:
    """In the place of a handler: the same inputs, asked of the provider as the engine does.

    `create_by` sends the request to create instead of the stub.
    """

    def create(account: Account, inputs: Inputs) -> Created:
        given = values.to_struct({key: _travelling(inputs.take(key)) for key in inputs.properties})
        urn = f"urn:pulumi:s::{PROJECT}::{inputs.type}::{inputs.name}"
        checked = stub.Check(provider_pb2.CheckRequest(urn=urn, news=given))
        answer = (create_by or stub.Create)(provider_pb2.CreateRequest(urn=urn, properties=checked.inputs))
        made.append(Made(urn, answer.id, checked.inputs, answer.properties))
        return Created(answer.id, values.plain(values.of_struct(answer.properties)))

    return create


def census(account: Any) -> Counter[str]:
    """How many of each kind of thing the account has, of those that the program makes."""
    ec2, iam = account.client("ec2"), account.client("iam")
    kms, elbv2 = account.client("kms"), account.client("elbv2")
    keys = [kms.describe_key(KeyId=one["KeyId"])["KeyMetadata"] for one in kms.list_keys()["Keys"]]
    zones = account.client("route53").list_hosted_zones()["HostedZones"]
    found = {
        "alarms": account.client("cloudwatch").describe_alarms()["MetricAlarms"],
        "buckets": account.client("s3").list_buckets()["Buckets"],
        "endpoints": [one for one in ec2.describe_vpc_endpoints()["VpcEndpoints"] if one["State"] != "deleted"],
        "flow logs": ec2.describe_flow_logs()["FlowLogs"],
        "gateways": ec2.describe_internet_gateways()["InternetGateways"],
        "groups": account.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"],
        "keys": [
            # The emulator makes a default key for volumes of its own.
            one
            for one in keys
            if one["KeyState"] == "Enabled" and not one["Description"].startswith("Default master key")
        ],
        "load balancers": elbv2.describe_load_balancers()["LoadBalancers"],
        "log groups": account.client("logs").describe_log_groups()["logGroups"],
        "profiles": iam.list_instance_profiles()["InstanceProfiles"],
        "records": [
            one
            for zone in zones
            for one in account.client("route53").list_resource_record_sets(HostedZoneId=zone["Id"])[
                "ResourceRecordSets"
            ]
        ],
        "roles": iam.list_roles()["Roles"],
        "route tables": [
            one
            for one in ec2.describe_route_tables()["RouteTables"]
            if not any(link["Main"] for link in one["Associations"])
        ],
        "rules": account.client("events").list_rules()["Rules"],
        "security groups": [
            one for one in ec2.describe_security_groups()["SecurityGroups"] if one["GroupName"] != "default"
        ],
        "security group rules": ec2.describe_security_group_rules()["SecurityGroupRules"],
        "subnets": [one for one in ec2.describe_subnets()["Subnets"] if not one["DefaultForAz"]],
        "target groups": elbv2.describe_target_groups()["TargetGroups"],
        "templates": ec2.describe_launch_templates()["LaunchTemplates"],
        "topics": account.client("sns").list_topics()["Topics"],
        "trails": account.client("cloudtrail").list_trails()["Trails"],
        "VPCs": [one for one in ec2.describe_vpcs()["Vpcs"] if not one["IsDefault"]],
        "zones": zones,
    }
    return Counter({kind: len(each) for kind, each in found.items() if each})


def _travelling(value: Any) -> Any:
    """Assets travel as what the SDK makes of them."""
    if type(value).__name__ == "FileAsset":
        return {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "path": str(value.path)}
    return value
