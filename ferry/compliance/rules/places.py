"""Where a system of MLPS level 3 may be: mainland China, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from ferry.compliance.resource import MAINLAND_REGIONS, Context, Resource, Seen, plain
from ferry.compliance.rule import stack_rule

IN_CHINA = ("8.2.1.1", "8.2.4.5 a")


@stack_rule(
    "stays-in-mainland",
    zh="三级系统的全部资源位于中国境内区域",
    clauses=IN_CHINA,
    remedy=f"set aws:region, and the region of the resource, to {' or '.join(MAINLAND_REGIONS)}",
)
def stays_in_mainland(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """A system of MLPS level 3 stays in cn-north-1 and cn-northwest-1."""
    if context.profile != "mlps-l3":
        return
    yield Seen("the stack", "aws:region", context.region, context.region in MAINLAND_REGIONS)
    for one in resources:
        if (region := one.get("region")) is not None:
            yield one.seen("region", region in MAINLAND_REGIONS)


@stack_rule(
    "arns-of-the-partition",
    zh="资源不引用 aws-cn 分区以外的 ARN",
    clauses=IN_CHINA,
    remedy="build the ARN with the stack's partition",
)
def arns_of_the_partition(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """What a stack in mainland China refers to is in the partition aws-cn."""
    if context.profile != "mlps-l3" or context.region not in MAINLAND_REGIONS:
        return
    foreign = [one for one in resources if "arn:aws:" in json.dumps(plain(one.properties), default=str)]
    for one in foreign:
        yield one.seen("arn", False, "names an ARN of the partition aws")
    if not foreign:
        yield Seen("the stack", "arn:aws:", f"in none of {len(resources)} resources", True)
