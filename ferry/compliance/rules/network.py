"""Doors: who may come in, and where what is inside may go."""

from __future__ import annotations

from collections.abc import Iterator

from ferry.compliance.resource import Context, Resource, Seen
from ferry.compliance.rule import rule

GROUP = "aws:ec2/securityGroup:SecurityGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
OLD_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
ANYWHERE = ("0.0.0.0/0", "::/0")
NAMED = {"referencedSecurityGroupId": "a security group", "prefixListId": "a prefix list"}
SHELLS = (22, 3389)

EGRESS_EXCEPTIONS = {
    "-to-jwks": "the load balancer fetches the public keys of the token issuer, whose addresses may change",
}
"""Rules that may lead anywhere, by the end of their name; only to port 443."""


@rule(
    "no-ingress-from-anywhere",
    zh="安全组不允许来自任意地址的入站访问",
    clauses=["8.1.3.1", "8.1.3.2", "8.2.3.1"],
    types=[GROUP, INGRESS, OLD_RULE],
    remedy="name the addresses, the security group or the prefix list that may come in",
)
def no_ingress_from_anywhere(holder: Resource, context: Context) -> Iterator[Seen]:
    """Nobody comes in from just anywhere."""
    for path, source in _ends(holder, "ingress"):
        yield holder.seen(path, source not in ANYWHERE, source)


@rule(
    "no-shell-ports",
    zh="安全组不开放 SSH 与 RDP 端口",
    clauses=["8.1.4.1 c", "8.1.4.4"],
    types=[INGRESS],
    remedy="take the rule out: Session Manager needs no open port",
)
def no_shell_ports(ingress: Resource, context: Context) -> Iterator[Seen]:
    """No door is open to SSH or RDP."""
    every = ingress.get("ipProtocol") == "-1"
    low, high = int(ingress.get("fromPort", 0)), int(ingress.get("toPort", 65535))
    reached = [port for port in SHELLS if every or low <= port <= high]
    yield ingress.seen("fromPort", not reached, f"{ingress.get('ipProtocol')} {low}-{high}")


@rule(
    "egress-limited",
    zh="安全组不允许到任意地址的出站访问（列明的例外除外）",
    clauses=["8.1.3.1", "8.1.3.2", "8.2.3.1"],
    types=[GROUP, EGRESS, OLD_RULE],
    remedy="name where it may go: a security group, a prefix list or a network",
)
def egress_limited(holder: Resource, context: Context) -> Iterator[Seen]:
    """Nothing goes out to just anywhere, but for the exceptions that are named with their reason."""
    for path, target in _ends(holder, "egress"):
        excepted = holder.name.endswith(tuple(EGRESS_EXCEPTIONS)) and holder.get("toPort") == 443
        yield holder.seen(path, target not in ANYWHERE or excepted, target)


@rule(
    "default-security-group-empty",
    zh="默认安全组不含任何规则",
    clauses=["8.1.3.2", "8.1.4.4"],
    types=["aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"],
    remedy="leave ingress and egress out",
)
def default_security_group_empty(group: Resource, context: Context) -> Iterator[Seen]:
    """The VPC's default security group lets nothing in and nothing out."""
    for path in ("ingress", "egress"):
        yield group.seen(path, not group.get(path), group.get(path) or "no rule")


def _ends(holder: Resource, direction: str) -> Iterator[tuple[str, str]]:
    """The far ends of a group's or a rule's doors in a direction, with their path."""
    if holder.type == (INGRESS if direction == "ingress" else EGRESS):
        for path in ("cidrIpv4", "cidrIpv6"):
            if (value := holder.get(path)) is not None:
                yield path, str(value)
        # Which group or list it is does not matter, and is not known before an update.
        yield from ((path, what) for path, what in NAMED.items() if path in {*holder.properties})
    elif holder.type == OLD_RULE and holder.get("type") == direction:
        for path in ("cidrBlocks", "ipv6CidrBlocks"):
            for value in holder.get(path, []):
                yield path, str(value)
    elif holder.type == GROUP:
        for index, one in enumerate(holder.get(direction, [])):
            for key in ("cidrBlocks", "ipv6CidrBlocks"):
                for value in one.get(key) or []:
                    yield f"{direction}[{index}].{key}", str(value)
