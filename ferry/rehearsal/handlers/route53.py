"""Route 53: private zones, and records, which may be aliases and weighted."""

from __future__ import annotations

from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, creates


@creates("aws:route53/zone:Zone")
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


@creates("aws:route53/record:Record")
def record(account: Account, inputs: Inputs) -> Created:
    """`ChangeResourceRecordSets`, which creates one."""
    zone_id, name, kind = inputs.take("zoneId"), inputs.take("name"), inputs.take("type")
    made: dict[str, Any] = {"Name": name, "Type": kind}
    if identifier := inputs.take("setIdentifier"):
        made["SetIdentifier"] = identifier
    for policy in inputs.each("weightedRoutingPolicies"):
        made["Weight"] = policy.take("weight")
    if values := inputs.take("records"):
        made |= {"TTL": int(inputs.take("ttl")), "ResourceRecords": [{"Value": value} for value in values]}
    for alias in inputs.each("aliases"):
        made["AliasTarget"] = {
            "DNSName": alias.take("name"),
            "HostedZoneId": alias.take("zoneId"),
            "EvaluateTargetHealth": alias.take("evaluateTargetHealth"),
        }
    account.client("route53").change_resource_record_sets(
        HostedZoneId=zone_id, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": made}]}
    )
    return Created("_".join(filter(None, [zone_id, name, kind, identifier])), {"fqdn": name})
