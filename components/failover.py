"""Failover: a second region that answers under the load balancer's name when the first one does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components.access_logs import AccessLogs, AccessLogsArgs
from components.identity import Identity
from components.inference_fleet import InferenceFleet, InferenceFleetArgs
from components.inference_gateway import InferenceGateway, InferenceGatewayArgs
from components.model_repository import Replica
from components.monitoring import GATEWAY, Monitoring, MonitoringArgs
from components.network import Network, NetworkArgs
from components.notifications import Notifications, NotificationsArgs
from components.patching import Patching, PatchingArgs
from stacks.patch_sources import patch_buckets
from stacks.settings import ModelVersion, Settings

LOST_PERIODS = 2
"""Minutes without a healthy node until the first region counts as lost: one alone may be a gap in the metric."""


@dataclass(frozen=True, kw_only=True)
class FailoverArgs:
    """Arguments of `Failover`."""

    identity: Identity
    """In the first region."""
    settings: Settings
    """Of the first region."""
    elsewhere: Settings
    """Of the second one: `settings.elsewhere`."""
    zone_id: str
    """The public hosted zone that `gateway.domain_name` lies in."""
    replica: Replica
    gateway: InferenceGateway
    """The load balancer of the first region."""
    deletion_protection: bool
    """Of the load balancer and the access logs; off only in stacks that must be destroyed."""
    tags: Mapping[str, str]


class Failover(pulumi.ComponentResource):
    """Network, load balancer, fleets and alarms in a second region, and the records that lead to it.

    *How it gets there.* One provider with `region` on each resource, as for the models' replica. A provider of its own
    would take nothing of the stack's `aws:` configuration (profile, role, endpoints), and could act in another account.

    *Who decides.* Route 53, by health checks on alarms in the first region: no version has had a healthy node for two
    minutes, or CloudWatch has no answer. Checks that ask the load balancer itself would need it open to Route 53's
    addresses and a path without a token. `evaluate_target_health` is off: it takes one target group without nodes, such
    as that of a version at rest, for the loss of the load balancer.
    https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html

    *Who wakes it.* The second region is answered whether or not it has a node. Where it keeps none, the first refused
    requests start as many nodes as the first region always has, by an alarm of the second region's own. After five
    refusals the gateway at home takes the cloud out for a while and its own engine answers; home is the last resort.
    """

    exports: Mapping[str, Any]
    """What the toolkit reads of the second region, under the names that the first one has in the stack's outputs."""

    def __init__(self, name: str, args: FailoverArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        here = pulumi.ResourceOptions(transformations=[in_region(args.elsewhere.region)])
        super().__init__("ferry:components:Failover", name, None, pulumi.ResourceOptions.merge(opts, here))
        self._name, self._args, self._settings = name, args, args.elsewhere
        self._identity = args.identity.within(args.elsewhere.region)
        self._child = pulumi.ResourceOptions(parent=self)
        self._patch_buckets = patch_buckets(args.elsewhere.region, args.elsewhere.patching.script_bucket)

        self._make_foundation()
        self._make_gateway()
        self._fleets = {version.name: self._make_fleet(version) for version in self._settings.model_versions}
        self._patching = self._make_patching()
        self._make_monitoring()
        if sleeping := [one for one in self._settings.model_versions if one.weight and not one.fleet.never_empty]:
            self._make_wake_up(sleeping)
        self._make_records(self._make_health_check())
        self.exports = self._collect_exports()
        self.register_outputs(dict(self.exports))

    def _make_foundation(self) -> None:
        name, args, settings = self._name, self._args, self._settings
        self._network = Network(
            f"{name}-network",
            NetworkArgs(
                identity=self._identity, network=settings.network, patch_buckets=self._patch_buckets, tags=args.tags
            ),
            self._child,
        )
        # An alarm notifies a topic of its own region.
        self._notifications = Notifications(
            f"{name}-notifications",
            NotificationsArgs(identity=self._identity, emails=settings.monitoring.notification_emails, tags=args.tags),
            self._child,
        )
        self._access_logs = AccessLogs(
            f"{name}-access-logs",
            AccessLogsArgs(
                identity=self._identity,
                retention_days=settings.audit.retention_days,
                protect=args.deletion_protection,
                tags=args.tags,
            ),
            self._child,
        )

    def _make_gateway(self) -> None:
        self._gateway = InferenceGateway(
            f"{self._name}-gw",  # the load balancer's name holds no more
            InferenceGatewayArgs(
                region=self._settings.region,
                gateway=self._settings.gateway,
                versions=self._settings.model_versions,
                vpc_id=self._network.vpc_id,
                public_subnet_ids=self._network.public_subnet_ids,
                access_log_bucket=self._access_logs.bucket_name,
                deletion_protection=self._args.deletion_protection,
                tags=self._args.tags,
            ),
            self._child,
        )

    def _make_fleet(self, version: ModelVersion) -> InferenceFleet:
        settings, replica, network = self._settings, self._args.replica, self._settings.network
        return InferenceFleet(
            f"{self._name}-{version.name}",
            InferenceFleetArgs(
                identity=self._identity,
                environment=settings.environment,
                version=version,
                vpc_id=self._network.vpc_id,
                subnet_ids=self._network.private_subnet_ids,
                subnet_count=len(network.existing.private_subnet_ids) if network.existing else network.zone_count,
                gateway_security_group_id=self._gateway.security_group_id,
                endpoint_security_group_id=self._network.endpoint_security_group_id,
                s3_prefix_list_id=self._network.s3_prefix_list_id,
                target_group_arn=self._gateway.target_group_arns[version.name],
                target_group_arn_suffix=self._gateway.target_group_arn_suffixes[version.name],
                load_balancer_arn_suffix=self._gateway.load_balancer_arn_suffix,
                model_bucket_name=replica.bucket_name,
                model_bucket_arn=replica.bucket_arn,
                model_key_arn=replica.key_arn,
                node_bundle_key=replica.node_bundle_key,
                verification_key=settings.node_bundle.verification_key if settings.node_bundle else None,
                alarm_topic_arn=self._notifications.topic_arn,
                patch_buckets=self._patch_buckets,
                tags=self._args.tags,
            ),
            self._child,
        )

    def _make_patching(self) -> Patching:
        return Patching(
            f"{self._name}-patching",
            PatchingArgs(
                environment=self._settings.environment,
                patching=self._settings.patching,
                ami_parameters=[version.fleet.ami_parameter for version in self._settings.model_versions],
                alarm_topic_arn=self._notifications.topic_arn,
                tags=self._args.tags,
            ),
            self._child,
        )

    def _make_monitoring(self) -> None:
        Monitoring(
            f"{self._name}-monitoring",
            MonitoringArgs(
                identity=self._identity,
                environment=self._settings.environment,
                monitoring=self._settings.monitoring,
                versions=self._settings.model_versions,
                load_balancer_arn_suffix=self._gateway.load_balancer_arn_suffix,
                target_group_arn_suffixes=self._gateway.target_group_arn_suffixes,
                group_names={version: fleet.group_name for version, fleet in self._fleets.items()},
                topic_arn=self._notifications.topic_arn,
                is_first_region=False,
                tags=self._args.tags,
            ),
            self._child,
        )

    def _make_wake_up(self, sleeping: list[ModelVersion]) -> None:
        """One alarm for all: a request that finds no node is counted for the load balancer only."""
        always = {one.name: one.fleet.min_size for one in self._args.settings.model_versions}
        policies = [
            aws.autoscaling.Policy(
                f"{self._name}-{version.name}-wake",
                autoscaling_group_name=self._fleets[version.name].group_name,
                policy_type="StepScaling",
                adjustment_type="ChangeInCapacity",
                metric_aggregation_type="Maximum",
                # What boots counts until then, so that the minutes of a boot do not add up.
                estimated_instance_warmup=version.fleet.boot_timeout_seconds,
                step_adjustments=[
                    {"scaling_adjustment": max(1, always[version.name]), "metric_interval_lower_bound": "0"}
                ],
                opts=self._child,
            ).arn
            for version in sleeping
        ]
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-wake",
            alarm_description="The second region is asked and has no node: start its fleets",
            namespace=GATEWAY,
            metric_name="HTTPCode_ELB_503_Count",
            dimensions={"LoadBalancer": self._gateway.load_balancer_arn_suffix},
            statistic="Sum",
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            period=60,
            evaluation_periods=1,
            datapoints_to_alarm=1,
            treat_missing_data="notBreaching",
            alarm_actions=[*policies, self._notifications.topic_arn],
            ok_actions=[self._notifications.topic_arn],
            tags=self._tags("wake"),
            opts=self._child,
        )

    def _make_health_check(self) -> aws.route53.HealthCheck:
        """Of the first region: healthy while a version that always has a node there has a healthy one."""
        settings, gateway = self._args.settings, self._args.gateway
        checks = []
        for version in settings.model_versions:
            if not (version.weight and version.fleet.never_empty):
                continue
            alarm = aws.cloudwatch.MetricAlarm(
                f"{self._name}-{version.name}-lost",
                region=settings.region,  # where the metric is
                alarm_description=f"{version.name}: no healthy node in {settings.region}; DNS goes elsewhere",
                namespace=GATEWAY,
                metric_name="HealthyHostCount",
                dimensions={
                    "LoadBalancer": gateway.load_balancer_arn_suffix,
                    "TargetGroup": gateway.target_group_arn_suffixes[version.name],
                },
                # Each of the load balancer's own nodes counts; one that sees a healthy target is enough.
                statistic="Maximum",
                comparison_operator="LessThanThreshold",
                threshold=1,
                period=60,
                evaluation_periods=LOST_PERIODS,
                datapoints_to_alarm=LOST_PERIODS,
                treat_missing_data="breaching",
                tags=self._tags(f"{version.name}-lost"),
                opts=self._child,
            )
            checks.append(
                aws.route53.HealthCheck(
                    f"{self._name}-{version.name}",
                    type="CLOUDWATCH_METRIC",
                    cloudwatch_alarm_name=alarm.name,
                    cloudwatch_alarm_region=settings.region,
                    # A region that is lost has no data either.
                    insufficient_data_health_status="Unhealthy",
                    tags=self._tags(version.name),
                    opts=self._child,
                )
            )
        return aws.route53.HealthCheck(
            f"{self._name}-first-region",
            type="CALCULATED",
            child_healthchecks=[check.id for check in checks],
            child_health_threshold=1,
            tags=self._tags("first-region"),
            opts=self._child,
        )

    def _make_records(self, healthy: aws.route53.HealthCheck) -> None:
        """Two records of one name. The second has no health check: it is what is left."""
        for role, gateway, health_check_id in (
            ("PRIMARY", self._args.gateway, healthy.id),
            ("SECONDARY", self._gateway, None),
        ):
            aws.route53.Record(
                f"{self._name}-{role.lower()}",
                zone_id=self._args.zone_id,
                name=self._settings.gateway.domain_name,
                type="A",
                set_identifier=role.lower(),
                aliases=[{"name": gateway.dns_name, "zone_id": gateway.zone_id, "evaluate_target_health": False}],
                failover_routing_policies=[{"type": role}],
                health_check_id=health_check_id,
                opts=self._child,
            )

    def _collect_exports(self) -> dict[str, Any]:
        return {
            "region": self._settings.region,
            "zone_id": self._args.zone_id,
            "vpc_id": self._network.vpc_id,
            "public_subnet_ids": self._network.public_subnet_ids,
            "private_subnet_ids": self._network.private_subnet_ids,
            "model_bucket": self._args.replica.bucket_name,
            "model_key_arn": self._args.replica.key_arn,
            "access_log_bucket": self._access_logs.bucket_name,
            "notification_topic_arn": self._notifications.topic_arn,
            "load_balancer_arn": self._gateway.load_balancer_arn,
            "gateway_dns_name": self._gateway.dns_name,
            "listener_arn": self._gateway.listener_arn,
            "target_group_arns": self._gateway.target_group_arns,
            "group_names": {version: fleet.group_name for version, fleet in self._fleets.items()},
            "launch_template_ids": {version: fleet.launch_template_id for version, fleet in self._fleets.items()},
            "patch_window_id": self._patching.window_id,
        }

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}


def in_region(region: str) -> pulumi.ResourceTransformation:
    """Puts every resource that names no region of its own into this one; services that have none stay as they are."""

    def put(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if "region" not in args.props or args.props["region"] is not None:
            return None
        return pulumi.ResourceTransformationResult({**args.props, "region": region}, args.opts)

    return put
