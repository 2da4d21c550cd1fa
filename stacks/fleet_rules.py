"""Rules on what a fleet is made of: sizes, instance types, spot, warm pools, reservations, first boot."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stacks.rule import FERRY, rule

AUTOSCALING = "https://docs.aws.amazon.com/autoscaling/ec2"
EC2 = "https://docs.aws.amazon.com/AWSEC2/latest"

CHINA_PRICE_LIST = (
    "https://github.com/aws/karpenter-provider-aws/blob/main/pkg/providers/pricing/zz_generated.pricing_aws_cn.go"
)
CHINA_ACCELERATED = frozenset({"g4dn", "g5", "p3", "inf1"})
ACCELERATED = re.compile(r"(g|p|inf|trn|dl|vt|f)\d")
"""Families with a GPU, an inference or training chip, a video or an FPGA card."""


HIBERNATING = re.compile(r"[cmr][3-8][a-z-]*|t[23]a?|i[34][a-z]*")
"""Families of the kinds that can hibernate: general purpose, compute, memory, storage. None has an accelerator."""


def family(instance_type: str) -> str:
    """`g5` of `g5.xlarge`."""
    return instance_type.partition(".")[0]


@rule("group-sizes", f"{AUTOSCALING}/userguide/asg-capacity-limits.html")
def group_sizes(*, min_size: int, max_size: int, desired_capacity: int | None = None) -> str | None:
    """A group's minimum is at most its maximum, and its desired capacity lies between them."""
    if min_size > max_size:
        return f"min_size is {min_size}, allowed is at most max_size, which is {max_size}: lower it, or raise max_size"
    if desired_capacity is not None and not min_size <= desired_capacity <= max_size:
        return (
            f"desired_capacity is {desired_capacity}, allowed is {min_size} to {max_size}: choose a value between "
            "min_size and max_size, or leave it out"
        )
    return None


@rule("on-demand-base", f"{AUTOSCALING}/APIReference/API_InstancesDistribution.html")
def on_demand_base(*, base: int, max_size: int) -> str | None:
    """The On-Demand base is a part of the group's capacity, so it is at most the group's maximum."""
    if base <= max_size:
        return None
    return f"on_demand_base is {base}, allowed is 0 to max_size, which is {max_size}: lower it, or raise max_size"


@rule("instance-type-count", f"{AUTOSCALING}/APIReference/API_LaunchTemplateOverrides.html")
def instance_type_count(*, instance_types: Sequence[str]) -> str | None:
    """A mixed-instances group lists up to 40 instance types, each once."""
    if len(instance_types) > 40:
        return f"{len(instance_types)} instance types, allowed are up to 40: remove some"
    twice = sorted({name for name in instance_types if instance_types.count(name) > 1})
    return f"instance types named more than once: {', '.join(twice)}; name each once" if twice else None


@rule("instance-type-partition", CHINA_PRICE_LIST)
def instance_type_partition(*, instance_type: str, region: str) -> str | None:
    """The China regions have the accelerated families g4dn, g5, p3 and inf1, and no others.

    No page lists them; AWS's price list for China does, and Karpenter keeps a copy of it.
    """
    name = family(instance_type)
    if not region.startswith("cn-") or not ACCELERATED.match(name) or name in CHINA_ACCELERATED:
        return None
    return (
        f"instance type is {instance_type}, which {region} does not have; allowed accelerated families in China are "
        f"{', '.join(sorted(CHINA_ACCELERATED))}: choose one of them"
    )


@rule("warm-pool-spot", f"{AUTOSCALING}/userguide/ec2-auto-scaling-warm-pools.html")
def warm_pool_spot(*, has_warm_pool: bool, spot_percentage: int) -> str | None:
    """A group with a warm pool asks for no Spot Instances."""
    if not has_warm_pool or spot_percentage == 0:
        return None
    return (
        f"a warm pool is asked for together with spot_percentage {spot_percentage}, allowed with a warm pool is 0: "
        "remove warm_pool, or set spot_percentage to 0"
    )


@rule("warm-pool-mixed-china", "https://docs.amazonaws.cn/AutoScaling/latest/APIReference/API_PutWarmPool.html")
def warm_pool_mixed(*, has_warm_pool: bool, instance_types: Sequence[str], region: str) -> str | None:
    """In the China regions, a group with a warm pool has no mixed-instances policy, so one instance type.

    Elsewhere it may have one since November 2025:
    https://aws.amazon.com/about-aws/whats-new/2025/11/ec2-auto-scaling-warm-pool-mixed-instances-policies/.
    The documentation of the China regions still refuses it.
    """
    if not has_warm_pool or len(instance_types) == 1 or not region.startswith("cn-"):
        return None
    return (
        f"a warm pool is asked for together with {len(instance_types)} instance types in {region}, allowed there is 1: "
        "remove warm_pool, or keep one instance type"
    )


@rule("warm-pool-hibernation", f"{EC2}/UserGuide/hibernating-prerequisites.html")
def warm_pool_hibernation(*, state: str, instance_type: str) -> str | None:
    """Only families without accelerators can hibernate."""
    if state != "Hibernated" or HIBERNATING.fullmatch(family(instance_type)):
        return None
    return f"warm_pool.state is Hibernated, which {instance_type} cannot do; allowed is Stopped: set it to Stopped"


@rule("warm-pool-running", FERRY)
def warm_pool_running(*, state: str) -> str | None:
    """Nodes of a warm pool do not run: their idle engines would report, and halve the load that the fleet scales on."""
    if state != "Running":
        return None
    return "warm_pool.state is Running, allowed is Stopped: idle nodes would lower the fleet's load; set it to Stopped"


@rule("reservation-on-demand", f"{EC2}/UserGuide/ec2-capacity-reservations.html")
def reservation_on_demand(*, reserved: int, on_demand_base: int, spot_percentage: int) -> str | None:
    """A Capacity Reservation is used by On-Demand Instances, so the group has some."""
    if reserved == 0 or on_demand_base > 0 or spot_percentage < 100:
        return None
    return (
        f"capacity_reservation_count is {reserved} in a group that is all spot, allowed there is 0: set "
        "on_demand_base, lower spot_percentage, or drop the reservation"
    )


@rule("wakes-up", FERRY)
def wakes_up(*, weight: int, min_size: int, scheduled_min_sizes: Sequence[int]) -> str | None:
    """A fleet with traffic that may shrink to zero has a schedule that brings it back: no node, no load, no scaling."""
    if weight == 0 or min_size > 0 or any(size > 0 for size in scheduled_min_sizes):
        return None
    return (
        f"min_size is 0 in a fleet with weight {weight}, and an empty fleet reports no load to grow on: set min_size "
        "to 1 or more, add a schedule with a min_size above 0, or set the weight to 0"
    )
