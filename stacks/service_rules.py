"""Rules on what stands around the fleets: names, load balancer, network, buckets, audit, regions."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from stacks.rule import FERRY, rule

ELB = "https://docs.aws.amazon.com/elasticloadbalancing/latest"

SUFFIX_LENGTH = 8
"""What auto-naming adds to a logical name: a dash and seven hex digits."""

AUDIT_RETENTION_DAYS = 184
"""Six months at their longest: the months from July to December."""


def partition(region: str) -> str:
    """AWS partition of a region."""
    if region.startswith("cn-"):
        return "aws-cn"
    if region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws"


@rule("load-balancer-name", f"{ELB}/APIReference/API_CreateLoadBalancer.html")
def load_balancer_name(*, logical_name: str) -> str | None:
    """A load balancer's name, which is the logical name with a suffix, has 32 characters at most."""
    return _too_long("load balancer", logical_name)


@rule("target-group-name", f"{ELB}/APIReference/API_CreateTargetGroup.html")
def target_group_name(*, logical_name: str) -> str | None:
    """A target group's name, which is the logical name with a suffix, has 32 characters at most."""
    return _too_long("target group", logical_name)


def _too_long(what: str, logical_name: str) -> str | None:
    if len(logical_name) + SUFFIX_LENGTH <= 32:
        return None
    return (
        f"the {what} is named {logical_name!r} ({len(logical_name)} characters, and {SUFFIX_LENGTH} that auto-naming "
        f"adds), allowed are {32 - SUFFIX_LENGTH} before the suffix: shorten it"
    )


@rule("target-groups-per-rule", f"{ELB}/application/load-balancer-limits.html")
def target_groups_per_rule(*, count: int) -> str | None:
    """A forward action shares the traffic between five target groups at most."""
    return None if count <= 5 else f"{count} model versions share one rule, allowed are 1 to 5: remove some"


@rule("weight", f"{ELB}/APIReference/API_TargetGroupTuple.html")
def weight(*, value: int) -> str | None:
    """A target group's weight is 0 to 999."""
    return None if 0 <= value <= 999 else f"weight is {value}, allowed is 0 to 999: scale the weights down"


@rule("some-weight", FERRY)
def some_weight(*, weights: Sequence[int]) -> str | None:
    """At least one model version gets traffic: with all weights 0, every unpinned request fails."""
    return None if any(weights) else "all weights are 0, allowed is at least one above 0: give a version a weight"


@rule("idle-timeout", f"{ELB}/application/edit-load-balancer-attributes.html")
def idle_timeout(*, seconds: int) -> str | None:
    """The idle timeout of an application load balancer is 1 to 4000 seconds."""
    return None if 1 <= seconds <= 4000 else f"idle timeout is {seconds} s, allowed is 1 to 4000: choose one between"


@rule("deregistration-delay", f"{ELB}/application/edit-target-group-attributes.html")
def deregistration_delay(*, seconds: int) -> str | None:
    """The deregistration delay of a target group is 0 to 3600 seconds."""
    if 0 <= seconds <= 3600:
        return None
    return f"deregistration delay is {seconds} s, allowed is 0 to 3600: choose one between"


@rule("version-header", f"{ELB}/APIReference/API_HttpHeaderConditionConfig.html")
def version_header(*, name: str) -> str | None:
    """The header that a rule looks at has a name of 40 characters at most, as RFC 7230 has it, and is not Host."""
    if re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,40}", name) and name.lower() != "host":
        return None
    return f"version_header is {name!r}, allowed are 1 to 40 characters of a header's name, not Host: name another"


@rule("jwt-length", f"{ELB}/APIReference/API_JwtValidationActionConfig.html")
def jwt_length(*, value: str) -> str | None:
    """Issuer, JWKS address and audience of a token have 256 characters at most."""
    return None if len(value) <= 256 else f"{len(value)} characters, allowed are 256: name a shorter one"


@rule("budget-currency", "https://docs.amazonaws.cn/en_us/aws/latest/userguide/billing-and-payment.html")
def budget_currency(*, region: str, has_usd: bool, has_cny: bool) -> str | None:
    """A budget is in the currency that the account is billed in: CNY in the China regions, USD elsewhere."""
    if has_usd and has_cny:
        return "both monthly_budget_usd and monthly_budget_cny are set, allowed is one: keep the account's currency"
    china = partition(region) == "aws-cn"
    if (china and has_usd) or (not china and has_cny):
        given, allowed = ("usd", "cny") if china else ("cny", "usd")
        return f"monthly_budget_{given} is set in {region}, allowed is monthly_budget_{allowed}: convert the amount"
    return None


@rule("log-delivery-bucket", "https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html")
def log_delivery_bucket(*, object_lock: bool, kms_key: bool) -> str | None:
    """A bucket that takes access logs of S3 or a load balancer has neither Object Lock by default nor a KMS key."""
    if object_lock:
        return "the bucket for access logs has Object Lock, allowed is none: use a bucket of its own, with SSE-S3"
    if kms_key:
        return "the bucket for access logs is encrypted with KMS, allowed is SSE-S3 (AES256): use a bucket of its own"
    return None


@rule("audit-retention", FERRY)
def audit_retention(*, mode: str, days: int) -> str | None:
    """A COMPLIANCE archive keeps its objects for six months, which are 184 days."""
    if mode != "COMPLIANCE" or days >= AUDIT_RETENTION_DAYS:
        return None
    return f"retention_days is {days}, allowed in COMPLIANCE is {AUDIT_RETENTION_DAYS} (six months) or more: raise it"


@rule("audit-disposable", FERRY)
def audit_disposable(*, mode: str, environment: str) -> str | None:
    """Only a dev stack may give up the lock on its audit archive."""
    if mode != "disposable" or environment == "dev" or environment.startswith("dev-"):
        return None
    return f"audit mode is disposable in environment {environment!r}, allowed is dev: set the mode to COMPLIANCE"


@rule("version-names", FERRY)
def version_names(*, names: Sequence[str]) -> str | None:
    """Model versions have different names: fleets and target groups are named after them."""
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"model versions named more than once: {', '.join(twice)}; give each its own name" if twice else None


@rule("replica-partition", "https://docs.amazonaws.cn/en_us/aws/latest/userguide/general-info.html")
def replica_partition(*, region: str, replica_region: str) -> str | None:
    """A bucket is replicated within its partition: accounts and roles of the China regions work nowhere else."""
    if partition(region) == partition(replica_region):
        return None
    return (
        f"replica_region is {replica_region} in partition {partition(replica_region)}, allowed are regions of "
        f"{partition(region)}: choose one of them, or leave replica_region out"
    )


@rule("replica-region", FERRY)
def replica_region(*, region: str, replica_region: str) -> str | None:
    """A replica lies in another region than the models: in the same one it goes when they go."""
    if region != replica_region:
        return None
    return f"replica_region is {replica_region}, the stack's own, allowed is any other of its partition: name one"


@rule("failover-replica", FERRY)
def failover_replica(*, region: str, replica_region: str | None) -> str | None:
    """The second region reads the models' replica: nodes without NAT reach the S3 of their own region only."""
    if region == replica_region:
        return None
    return (
        f"region is {region}, allowed is model_repository.replica_region, which is {replica_region or 'not set'}: "
        "set both to one region"
    )


@rule("failover-awake", FERRY)
def failover_awake(*, versions: Sequence[str]) -> str | None:
    """A version with traffic always has a node in the first region: else its sleep looks like the region's loss."""
    if versions:
        return None
    return (
        "every version with a weight has hours without a node, allowed is one at the least that has none: raise "
        "fleet.min_size, and that of its schedules, above 0"
    )


@rule("lifecycle-order", "https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html")
def lifecycle_order(*, first: str, first_days: int, then: str, then_days: int) -> str | None:
    """What a lifecycle rule does last comes later than what it does first."""
    if first_days < then_days:
        return None
    return f"{then} is {then_days}, allowed is more than {first} ({first_days}): raise it"


@rule("vpc-size", "https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html")
def vpc_size(*, cidr: str) -> str | None:
    """A VPC is a /16 at the largest, and a /22 still leaves a /27 for each of the load balancer's subnets."""
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        return f"{error}, allowed is a network of /16 to /22: correct it"
    if 16 <= network.prefixlen <= 22:
        return None
    return f"{cidr} is a /{network.prefixlen}, allowed is /16 to /22: choose a network of that size"
