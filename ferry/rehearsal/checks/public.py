"""Nothing of the account is open to everybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ferry.rehearsal.checks import Seen, Stack, buckets, check
from ferry.rehearsal.handlers import Account

EVERYBODY = ("0.0.0.0/0", "::/0")
CHOSEN = ("load_balancer_arn", "gateway_tier_load_balancer_arn")


@check
def no_security_group_is_open_to_the_world(account: Account, stack: Stack) -> Iterator[Seen]:
    """Inwards. The load balancers' groups are the stack's own choice, and have checks of their own."""
    arns = [stack.outputs[name] for name in CHOSEN if name in stack.outputs]
    gateway = account.client("elbv2").describe_load_balancers(LoadBalancerArns=arns)
    chosen = {group for one in gateway["LoadBalancers"] for group in one["SecurityGroups"]}
    rules = account.client("ec2").get_paginator("describe_security_group_rules").paginate()
    opened: dict[str, list[str]] = {}
    for rule in (rule for page in rules for rule in page["SecurityGroupRules"] if not rule["IsEgress"]):
        found = opened.setdefault(rule["GroupId"], [])
        if (peer := rule.get("CidrIpv4") or rule.get("CidrIpv6")) in EVERYBODY:
            found.append(f"{rule['IpProtocol']} {rule.get('FromPort')} from {peer}")
    for group in sorted(opened.keys() - chosen):
        yield Seen(group, "closed", "; ".join(opened[group]) or "closed")


@check
def no_bucket_policy_is_open_to_the_world(account: Account, stack: Stack) -> Iterator[Seen]:
    """No statement of any bucket allows something to everybody."""
    s3 = account.client("s3")
    for one in s3.list_buckets()["Buckets"]:
        bucket = one["Name"]
        region = s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] or "us-east-1"
        allowed = [
            str(statement.get("Action"))
            for statement in buckets.policy(account, bucket, region)
            if statement["Effect"] == "Allow" and _everybody(statement)
        ]
        yield Seen(bucket, "closed", ", ".join(allowed) or "closed")


def _everybody(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    return principal == "*" or (isinstance(principal, Mapping) and "*" in buckets.as_list(principal.get("AWS")))
