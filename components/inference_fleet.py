"""InferenceFleet: the nodes of one model version as an auto-scaling group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.fleet_scaling import FleetScaling, FleetScalingArgs
from components.identity import Identity
from components.inference_node import InferenceNode, InferenceNodeArgs
from components.node import propagated_tags
from stacks import rules
from stacks.patch_sources import patch_tags
from stacks.settings import FleetSettings, ModelVersion, group_name

HEALTH_GRACE_SECONDS = 120
"""From in service to the first health verdict that counts: two checks of the target group, and some. The launching
hook has held the node back until its engine answered, so nothing has to start within this time."""

GROUP_METRICS = (
    aws.autoscaling.Metric.GROUP_DESIRED_CAPACITY,
    aws.autoscaling.Metric.GROUP_IN_SERVICE_INSTANCES,
    aws.autoscaling.Metric.GROUP_MAX_SIZE,
    aws.autoscaling.Metric.GROUP_MIN_SIZE,
    aws.autoscaling.Metric.GROUP_PENDING_INSTANCES,
    aws.autoscaling.Metric.GROUP_TOTAL_INSTANCES,
)
"""What the dashboard shows of a group. They cost nothing."""


@dataclass(frozen=True, kw_only=True)
class InferenceFleetArgs:
    """Arguments of `InferenceFleet`."""

    identity: Identity
    environment: str
    version: ModelVersion
    """The model version that the fleet serves, with its engine and its sizes."""
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[str]]
    """Private subnets, in two zones or more."""
    subnet_count: int
    """How many there are: each gets a share of the reserved capacity, and the ids are known too late to be counted."""
    gateway_security_group_id: pulumi.Input[str]
    endpoint_security_group_id: pulumi.Input[str]
    s3_prefix_list_id: pulumi.Input[str]
    target_group_arn: pulumi.Input[str]
    target_group_arn_suffix: pulumi.Input[str]
    load_balancer_arn_suffix: pulumi.Input[str]
    model_bucket_name: pulumi.Input[str]
    model_bucket_arn: pulumi.Input[str]
    model_key_arn: pulumi.Input[str]
    node_bundle_key: pulumi.Input[str | None] = None
    verification_key: str | None = None
    """PEM of the public keys. Without them a node refuses to boot."""
    alarm_topic_arn: pulumi.Input[str]
    patch_buckets: Sequence[str]
    """AWS's own buckets that a scan for missing patches reads."""
    tags: Mapping[str, str]


class InferenceFleet(pulumi.ComponentResource):
    """An auto-scaling group, its launch template, its scaling on load, and its schedules.

    Several instance types, or spot, make it a mixed-instances group; one type on demand is launched as it is. The group
    owns its desired capacity from its creation on: alarms, schedules and people change it, `pulumi up` does not.
    """

    group_name: pulumi.Output[str]
    group_arn: pulumi.Output[str]
    launch_template_id: pulumi.Output[str]
    scale_out_alarm_name: pulumi.Output[str]
    scale_in_alarm_name: pulumi.Output[str]

    def __init__(self, name: str, args: InferenceFleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:InferenceFleet", name, None, opts)
        if broken := rules.fleet_violations(args.version, args.identity.region):
            raise ValueError("; ".join(broken))
        self._name, self._args, self._fleet = name, args, args.version.fleet
        self._group_name = group_name(args.environment, args.version.name)
        self._hook_name = f"{self._group_name}-boot"
        self._child = pulumi.ResourceOptions(parent=self)

        node = self._make_node()
        group = self._make_group(node, self._make_rollback_alarm(), self._make_reservations())
        self._make_hook(group)
        self._make_schedules(group)
        scaling = FleetScaling(
            f"{name}-scaling",
            FleetScalingArgs(
                group_name=group.name,
                engine=args.version.engine,
                scaling=self._fleet.scaling,
                silent_after_seconds=self._fleet.boot_timeout_seconds if self._fleet.never_empty else None,
                alarm_topic_arn=args.alarm_topic_arn,
                tags=args.tags,
            ),
            self._child,
        )
        self.group_name, self.group_arn = group.name, group.arn
        self.launch_template_id = node.launch_template_id
        self.scale_out_alarm_name = scaling.scale_out_alarm_name
        self.scale_in_alarm_name = scaling.scale_in_alarm_name
        self.register_outputs(
            {
                "group_name": self.group_name,
                "group_arn": self.group_arn,
                "launch_template_id": self.launch_template_id,
                "scale_out_alarm_name": self.scale_out_alarm_name,
                "scale_in_alarm_name": self.scale_in_alarm_name,
            }
        )

    def _make_node(self) -> InferenceNode:
        args = self._args
        return InferenceNode(
            f"{self._name}-node",
            InferenceNodeArgs(
                identity=args.identity,
                environment=args.environment,
                version=args.version,
                group_name=self._group_name,
                lifecycle_hook_name=self._hook_name,
                vpc_id=args.vpc_id,
                gateway_security_group_id=args.gateway_security_group_id,
                endpoint_security_group_id=args.endpoint_security_group_id,
                s3_prefix_list_id=args.s3_prefix_list_id,
                model_bucket_name=args.model_bucket_name,
                model_bucket_arn=args.model_bucket_arn,
                model_key_arn=args.model_key_arn,
                node_bundle_key=args.node_bundle_key,
                verification_key=args.verification_key,
                patch_buckets=args.patch_buckets,
                tags=args.tags,
            ),
            self._child,
        )

    def _make_group(
        self, node: InferenceNode, rollback_alarm: aws.cloudwatch.MetricAlarm, reservation_ids: list[pulumi.Output[str]]
    ) -> aws.autoscaling.Group:
        fleet = self._fleet
        template: aws.autoscaling.GroupLaunchTemplateArgsDict = {
            "id": node.launch_template_id,
            "version": node.launch_template_version,
        }
        return aws.autoscaling.Group(
            f"{self._name}-group",
            name=self._group_name,
            min_size=fleet.min_size,
            max_size=fleet.max_size,
            desired_capacity=fleet.min_size,
            vpc_zone_identifiers=self._args.subnet_ids,
            target_group_arns=[self._args.target_group_arn],
            launch_template=None if is_mixed(fleet) else template,
            mixed_instances_policy=mixed_instances(fleet, node) if is_mixed(fleet) else None,
            capacity_rebalance=fleet.spot_percentage > 0,
            capacity_reservation_specification=reservations_first(reservation_ids) if reservation_ids else None,
            warm_pool=warm_pool(fleet),
            health_check_type="ELB",
            health_check_grace_period=HEALTH_GRACE_SECONDS,
            # On the group itself, because a hook of its own is there only after the first nodes have started.
            initial_lifecycle_hooks=[
                {
                    "name": self._hook_name,
                    "lifecycle_transition": "autoscaling:EC2_INSTANCE_LAUNCHING",
                    "default_result": "ABANDON",
                    "heartbeat_timeout": fleet.boot_timeout_seconds,
                }
            ],
            instance_refresh=instance_refresh(fleet, rollback_alarm),
            # Not waited for: the first `pulumi up` makes the very bucket that the nodes' models have to be in.
            wait_for_capacity_timeout="0",
            enabled_metrics=list(GROUP_METRICS),
            metrics_granularity="1Minute",
            tags=propagated_tags(
                {**self._args.tags, **patch_tags(self._args.environment, fleet.ami_parameter)}, self._group_name
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                ignore_changes=["desiredCapacity"],
                # A node that starts before its rights exist fails its boot.
                depends_on=[node],
            ),
        )

    def _make_hook(self, group: aws.autoscaling.Group) -> None:
        """The hook that the group was made with, as a resource: a changed boot timeout reaches an existing group."""
        aws.autoscaling.LifecycleHook(
            f"{self._name}-boot",
            name=self._hook_name,
            autoscaling_group_name=group.name,
            lifecycle_transition="autoscaling:EC2_INSTANCE_LAUNCHING",
            default_result="ABANDON",
            heartbeat_timeout=self._fleet.boot_timeout_seconds,
            opts=self._child,
        )

    def _make_schedules(self, group: aws.autoscaling.Group) -> None:
        """The sizes of each schedule, from its hour on. `pulumi refresh` would take them for drift of the group."""
        for schedule in self._fleet.schedules:
            aws.autoscaling.Schedule(
                f"{self._name}-{schedule.name}",
                scheduled_action_name=f"{self._group_name}-{schedule.name}",
                autoscaling_group_name=group.name,
                recurrence=schedule.recurrence,
                time_zone=schedule.time_zone,
                min_size=schedule.min_size,
                max_size=schedule.max_size,
                # The provider takes a size that is left out for 0; -1 is its word for "as it is".
                desired_capacity=-1 if schedule.desired_capacity is None else schedule.desired_capacity,
                opts=self._child,
            )

    def _make_rollback_alarm(self) -> aws.cloudwatch.MetricAlarm:
        """A node in service that does not answer /health: while nodes are being replaced, it undoes the replacement."""
        return aws.cloudwatch.MetricAlarm(
            f"{self._name}-rollback",
            alarm_description=f"{self._group_name}: a node is unhealthy; a running instance refresh is undone",
            namespace="AWS/ApplicationELB",
            metric_name="UnHealthyHostCount",
            dimensions={
                "LoadBalancer": self._args.load_balancer_arn_suffix,
                "TargetGroup": self._args.target_group_arn_suffix,
            },
            statistic="Maximum",
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            period=60,
            evaluation_periods=3,
            datapoints_to_alarm=3,
            treat_missing_data="notBreaching",  # a group without nodes has no unhealthy ones
            tags=self._tags("rollback"),
            opts=self._child,
        )

    def _make_reservations(self) -> list[pulumi.Output[str]]:
        """On-Demand Capacity Reservations of the first instance type, one for each zone; billed whether used or not."""
        ids = []
        for index, count in enumerate(shares(self._fleet.capacity_reservation_count, self._args.subnet_count)):
            zone = aws.ec2.get_subnet_output(
                id=pulumi.Output.from_input(self._args.subnet_ids)[index],
                region=self._args.identity.region,
                opts=pulumi.InvokeOutputOptions(parent=self),
            ).availability_zone
            reservation = aws.ec2.CapacityReservation(
                f"{self._name}-reserved-{index}",
                availability_zone=zone,
                instance_type=self._fleet.instance_types[0],
                instance_platform="Linux/UNIX",
                instance_count=count,
                # Only what names the reservation may use it, not every instance of that type in the account.
                instance_match_criteria="targeted",
                end_date_type="unlimited",
                tags=self._tags(f"reserved-{index}"),
                opts=self._child,
            )
            ids.append(reservation.id)
        return ids

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}


def is_mixed(fleet: FleetSettings) -> bool:
    """Whether the group needs a mixed-instances policy: several types, or any spot."""
    return len(fleet.instance_types) > 1 or fleet.spot_percentage > 0


def shares(total: int, parts: int) -> list[int]:
    """A number of instances spread over the zones, the first ones taking what is left over; no share is 0."""
    spread = [total // parts + (index < total % parts) for index in range(parts)]
    return [share for share in spread if share]


def mixed_instances(fleet: FleetSettings, node: InferenceNode) -> aws.autoscaling.GroupMixedInstancesPolicyArgsDict:
    """On demand in the order of the types; spot from the pools with most capacity, and among those the cheapest."""
    return {
        "launch_template": {
            "launch_template_specification": {
                "launch_template_id": node.launch_template_id,
                "version": node.launch_template_version,
            },
            "overrides": [{"instance_type": instance_type} for instance_type in fleet.instance_types],
        },
        "instances_distribution": {
            "on_demand_allocation_strategy": "prioritized",
            "on_demand_base_capacity": fleet.on_demand_base,
            "on_demand_percentage_above_base_capacity": 100 - fleet.spot_percentage,
            "spot_allocation_strategy": "price-capacity-optimized",
        },
    }


def reservations_first(
    reservation_ids: Sequence[pulumi.Input[str]],
) -> aws.autoscaling.GroupCapacityReservationSpecificationArgsDict:
    """Launch into these reservations, and on demand when they are used up."""
    return {
        "capacity_reservation_preference": "capacity-reservations-first",
        "capacity_reservation_target": {"capacity_reservation_ids": list(reservation_ids)},
    }


def warm_pool(fleet: FleetSettings) -> aws.autoscaling.GroupWarmPoolArgsDict | None:
    """Prepared nodes. One that is scaled in goes back, because its disk holds the model already."""
    if fleet.warm_pool is None:
        return None
    return {
        "min_size": fleet.warm_pool.min_size,
        "pool_state": fleet.warm_pool.state,
        "instance_reuse_policy": {"reuse_on_scale_in": True},
    }


def instance_refresh(
    fleet: FleetSettings, rollback_alarm: aws.cloudwatch.MetricAlarm
) -> aws.autoscaling.GroupInstanceRefreshArgsDict:
    """How nodes are replaced when the launch template changes: new ones first, a pause after half of them.

    A failed boot or the alarm brings the old template back.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-rollback.html
    """
    return {
        "strategy": "Rolling",
        "preferences": {
            # A node more than desired, never one fewer: a GPU fleet is small, and 90 % of one node is none.
            "min_healthy_percentage": 100,
            "max_healthy_percentage": 110,
            "instance_warmup": str(fleet.scaling.warmup_seconds),
            "checkpoint_percentages": [50, 100],
            "checkpoint_delay": "600",
            "auto_rollback": True,
            "alarm_specification": {"alarms": [rollback_alarm.name]},
            "skip_matching": True,
        },
    }
