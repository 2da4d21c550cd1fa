"""Route 53: private zones, health checks, and records, which may be aliases, weighted, and fail over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import (
    Absent,
    Account,
    Created,
    Inputs,
    State,
    creates,
    deleted_by,
    deletes,
    reads,
    updates,
)
from ferry.rehearsal.handlers.tagging import as_map

ZONE = "aws:route53/zone:Zone"
RECORD = "aws:route53/record:Record"
HEALTH_CHECK = "aws:route53/healthCheck:HealthCheck"


@creates(ZONE, fixed=("name", "delegationSetId"))
def zone(account: Account, inputs: Inputs) -> Created:
    """`CreateHostedZone` of a private zone, for the VPC that it is made for."""
    route53, name = account.client("route53"), inputs.take("name")
    (vpc,) = inputs.each("vpcs")
    id_ = route53.create_hosted_zone(
        Name=name,
        CallerReference=inputs.name,
        HostedZoneConfig={"Comment": inputs.take("comment", ""), "PrivateZone": True},
        VPC={"VPCRegion": vpc.take("vpcRegion", account.region), "VPCId": vpc.take("vpcId")},
    )["HostedZone"]["Id"].rpartition("/")[2]
    if tags := inputs.tags():
        route53.change_tags_for_resource(ResourceType="hostedzone", ResourceId=id_, AddTags=tags)
    return Created(id_, {"arn": f"arn:{account.partition}:route53:::hostedzone/{id_}", "zoneId": id_})


@updates(ZONE, "comment", "vpcs")
def zone_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """The comment, then the VPCs: onto the new one first, since a private zone has to have one."""
    route53 = account.client("route53")
    route53.update_hosted_zone_comment(Id=old.id, Comment=new.take("comment", ""))
    had, wanted = (
        {one["vpcId"]: one.get("vpcRegion") or account.region for one in given.get("vpcs") or []}
        for given in (old.inputs, new.properties)
    )
    for id_ in wanted.keys() - had.keys():
        route53.associate_vpc_with_hosted_zone(HostedZoneId=old.id, VPC={"VPCRegion": wanted[id_], "VPCId": id_})
    for id_ in had.keys() - wanted.keys():
        route53.disassociate_vpc_from_hosted_zone(HostedZoneId=old.id, VPC={"VPCRegion": had[id_], "VPCId": id_})
    return {}


@reads(ZONE)
def read_zone(account: Account, state: State) -> Mapping[str, Any]:
    """The zone, the VPCs that see it, and its tags."""
    route53 = account.client("route53")
    found = route53.get_hosted_zone(Id=state.id)
    tags = route53.list_tags_for_resource(ResourceType="hostedzone", ResourceId=state.id)
    return {
        "name": found["HostedZone"]["Name"].rstrip("."),
        "comment": found["HostedZone"]["Config"].get("Comment"),
        "vpcs": [{"vpcId": one["VPCId"], "vpcRegion": one["VPCRegion"]} for one in found.get("VPCs", [])],
        "tags": as_map(tags["ResourceTagSet"]["Tags"]),
    }


deleted_by(ZONE, "route53", "delete_hosted_zone", Id="id")


@creates(HEALTH_CHECK, fixed=("type",))
def health_check(account: Account, inputs: Inputs) -> Created:
    """`CreateHealthCheck`, of an alarm or of other health checks."""
    route53 = account.client("route53")
    config = {"Type": inputs.take("type"), **_looked_at(inputs)}
    id_ = route53.create_health_check(CallerReference=inputs.name, HealthCheckConfig=config)["HealthCheck"]["Id"]
    if tags := inputs.tags():
        route53.change_tags_for_resource(ResourceType="healthcheck", ResourceId=id_, AddTags=tags)
    return Created(id_, {"arn": f"arn:{account.partition}:route53:::healthcheck/{id_}"})


@updates(
    HEALTH_CHECK,
    "childHealthchecks",
    "childHealthThreshold",
    "cloudwatchAlarmName",
    "cloudwatchAlarmRegion",
    "insufficientDataHealthStatus",
)
def health_check_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`UpdateHealthCheck`, of what it looks at."""
    account.client("route53").update_health_check(HealthCheckId=old.id, **_looked_at(new))
    return {}


def _looked_at(inputs: Inputs) -> dict[str, Any]:
    if alarm := inputs.take("cloudwatchAlarmName"):
        return {
            "AlarmIdentifier": {"Name": alarm, "Region": inputs.take("cloudwatchAlarmRegion")},
            "InsufficientDataHealthStatus": inputs.take("insufficientDataHealthStatus"),
        }
    return {
        "ChildHealthChecks": sorted(inputs.take("childHealthchecks")),
        "HealthThreshold": inputs.take("childHealthThreshold"),
    }


@reads(HEALTH_CHECK)
def read_health_check(account: Account, state: State) -> Mapping[str, Any]:
    """What it looks at, and its tags."""
    route53 = account.client("route53")
    config = route53.get_health_check(HealthCheckId=state.id)["HealthCheck"]["HealthCheckConfig"]
    alarm = config.get("AlarmIdentifier", {})
    tags = route53.list_tags_for_resource(ResourceType="healthcheck", ResourceId=state.id)
    return {
        "type": config["Type"],
        "cloudwatchAlarmName": alarm.get("Name"),
        "cloudwatchAlarmRegion": alarm.get("Region"),
        "insufficientDataHealthStatus": config.get("InsufficientDataHealthStatus"),
        "childHealthchecks": config.get("ChildHealthChecks"),
        "childHealthThreshold": config.get("HealthThreshold"),
        "tags": as_map(tags["ResourceTagSet"]["Tags"]),
    }


deleted_by(HEALTH_CHECK, "route53", "delete_health_check", HealthCheckId="id")


@creates(RECORD, fixed=("zoneId", "name"))
def record(account: Account, inputs: Inputs) -> Created:
    """`ChangeResourceRecordSets`, which creates one."""
    zone_id, made = inputs.take("zoneId"), _record_set(inputs)
    _change(account, zone_id, "CREATE", made)
    parts = [zone_id, made["Name"], made["Type"], made.get("SetIdentifier")]
    return Created("_".join(filter(None, parts)), {"fqdn": made["Name"]})


@updates(RECORD, "records", "ttl", "aliases", "weightedRoutingPolicies", "failoverRoutingPolicies", "healthCheckId")
def record_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`ChangeResourceRecordSets`, which puts it in the place of the one of its name, type and identifier."""
    _change(account, new.take("zoneId"), "UPSERT", _record_set(new))
    return {}


@reads(RECORD)
def read_record(account: Account, state: State) -> Mapping[str, Any]:
    """What is answered to the record's name, type and identifier."""
    found = _found(account, state)
    alias, weight = found.get("AliasTarget"), found.get("Weight")
    return {
        "ttl": found.get("TTL"),
        "records": [one["Value"] for one in found.get("ResourceRecords", [])] or None,
        "aliases": alias
        and [
            {
                "name": alias["DNSName"].rstrip("."),
                "zoneId": alias["HostedZoneId"],
                "evaluateTargetHealth": alias["EvaluateTargetHealth"],
            }
        ],
        "weightedRoutingPolicies": None if weight is None else [{"weight": weight}],
        "failoverRoutingPolicies": [{"type": found["Failover"]}] if "Failover" in found else None,
        "healthCheckId": found.get("HealthCheckId"),
    }


@deletes(RECORD)
def delete_record(account: Account, state: State) -> None:
    """`ChangeResourceRecordSets`, which takes away only what is named with all that it holds."""
    _change(account, state.get("zoneId"), "DELETE", _found(account, state))


def _record_set(inputs: Inputs) -> dict[str, Any]:
    made: dict[str, Any] = {"Name": inputs.take("name"), "Type": inputs.take("type")}
    if identifier := inputs.take("setIdentifier"):
        made["SetIdentifier"] = identifier
    for policy in inputs.each("weightedRoutingPolicies"):
        made["Weight"] = policy.take("weight")
    for policy in inputs.each("failoverRoutingPolicies"):
        made["Failover"] = policy.take("type")
    if health_check := inputs.take("healthCheckId"):
        made["HealthCheckId"] = health_check
    if values := inputs.take("records"):
        made |= {"TTL": int(inputs.take("ttl")), "ResourceRecords": [{"Value": value} for value in values]}
    for alias in inputs.each("aliases"):
        made["AliasTarget"] = {
            "DNSName": alias.take("name"),
            "HostedZoneId": alias.take("zoneId"),
            "EvaluateTargetHealth": alias.take("evaluateTargetHealth"),
        }
    return made


def _change(account: Account, zone_id: str, action: str, record_set: Mapping[str, Any]) -> None:
    account.client("route53").change_resource_record_sets(
        HostedZoneId=zone_id, ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record_set}]}
    )


def _found(account: Account, state: State) -> Mapping[str, Any]:
    name, kind, identifier = state.get("name"), state.get("type"), state.get("setIdentifier")
    answer = account.client("route53").list_resource_record_sets(
        HostedZoneId=state.get("zoneId"), StartRecordName=name, StartRecordType=kind
    )
    for one in answer["ResourceRecordSets"]:
        if (one["Name"].rstrip("."), one["Type"], one.get("SetIdentifier")) == (name.rstrip("."), kind, identifier):
            found: Mapping[str, Any] = one
            return found
    raise Absent
