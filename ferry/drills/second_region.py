"""What the account says of a second region: who decides that the first one is lost, who answers then, what starts it.

Asked by describe calls, as `provisioned` does; nothing here is taken from the stack's settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from ferry.drills.provisioned import Fleet, Provisioned
from ferry.drills.scene import Scene
from ferry.rehearsal.account import EmbeddedAccount

ALIAS_TTL_S = 60
"""An alias has no TTL of its own: it answers with that of the load balancer's name.
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html"""
ASKED_IN_VAIN = "HTTPCode_ELB_503_Count"
LESS = frozenset({"LessThanThreshold", "LessThanOrEqualToThreshold"})


@dataclass(frozen=True, kw_only=True)
class Watch:
    """An alarm on the healthy nodes of one version in the first region, as a health check looks at it."""

    alarm: str
    window_s: int
    """Until the alarm is raised, after its metric has nothing more to say."""
    window: str


@dataclass(frozen=True, kw_only=True)
class WakeUp:
    """An alarm on requests that no node took, with the policy of a fleet that it runs."""

    alarm: str
    period_s: int
    adds: int


class SecondRegion:
    """The second region of a scene, and the records that lead there."""

    def __init__(self, scene: Scene) -> None:
        self._first = scene
        there: Mapping[str, Any] = scene.output("failover")
        elsewhere = scene.settings.elsewhere
        self.region: str = there["region"]
        self._zone_id: str = there["zone_id"]
        self._account = EmbeddedAccount(scene.account.endpoint_url, self.region)
        self.scene = replace(
            scene, account=self._account, settings=elsewhere or scene.settings, outputs={**scene.outputs, **there}
        )
        self.fleets: list[Fleet] = Provisioned(self.scene).fleets
        self._alarms = Provisioned(self.scene).alarms

    def record(self, role: str) -> Mapping[str, Any] | None:
        """The record of a role (PRIMARY, SECONDARY) that leads to the load balancer of its region."""
        scene = self._first if role == "PRIMARY" else self.scene
        target = scene.output("gateway_dns_name")
        found = scene.account.client("route53").list_resource_record_sets(HostedZoneId=self._zone_id)
        for one in found["ResourceRecordSets"]:
            named = one["Name"].rstrip(".") == scene.settings.gateway.domain_name and one["Type"] == "A"
            leads_to = one.get("AliasTarget", {}).get("DNSName", "").rstrip(".")
            if named and one.get("Failover") == role and leads_to == target:
                record: Mapping[str, Any] = one
                return record
        return None

    def watches(self, health_check_id: str) -> list[Watch] | str:
        """What has to be raised for the first region to count as lost; else why it never does."""
        try:
            configs = list(self._configs(health_check_id))
        except ClientError as error:
            return f"the health check {health_check_id} is not there ({error.response['Error']['Code']})"
        watches = []
        for config in configs:
            if config["Type"] != "CLOUDWATCH_METRIC":
                return f"a health check of the type {config['Type']} asks something else than the healthy nodes"
            watch = self._watch(config)
            if isinstance(watch, str):
                return watch
            watches.append(watch)
        return watches or f"the health check {health_check_id} looks at nothing"

    def wake_up(self, fleet: Fleet) -> WakeUp | None:
        """What starts an empty fleet; None where nothing does."""
        balancer = self.scene.output("load_balancer_arn").partition(":loadbalancer/")[2]
        policies = self._account.client("autoscaling").describe_policies(AutoScalingGroupName=fleet.group)
        for policy in policies["ScalingPolicies"]:
            for alarm in self._alarms:
                on_refusals = alarm.get("MetricName") == ASKED_IN_VAIN and alarm["Threshold"] == 0
                own = {"Name": "LoadBalancer", "Value": balancer} in alarm.get("Dimensions", [])
                runs = alarm["ActionsEnabled"] and policy["PolicyARN"] in alarm["AlarmActions"]
                adds = max((step["ScalingAdjustment"] for step in policy["StepAdjustments"]), default=0)
                if on_refusals and own and runs and adds > 0:
                    return WakeUp(
                        alarm=alarm["AlarmName"], period_s=alarm["Period"] * alarm["EvaluationPeriods"], adds=adds
                    )
        return None

    def replicates(self) -> bool:
        """Whether all that is put into the models' bucket goes to the bucket that this region's nodes read."""
        wanted = f"arn:{self._account.partition}:s3:::{self.scene.output('model_bucket')}"
        try:
            found = self._first.account.client("s3").get_bucket_replication(Bucket=self._first.output("model_bucket"))
        except ClientError:
            return False
        return any(
            rule["Status"] == "Enabled"
            and rule["Destination"]["Bucket"] == wanted
            and not (rule.get("Filter", {}).get("Prefix") or rule.get("Prefix"))
            for rule in found["ReplicationConfiguration"]["Rules"]
        )

    def _configs(self, id_: str) -> Iterator[Mapping[str, Any]]:
        """The health checks at the leaves."""
        config = self._first.account.client("route53").get_health_check(HealthCheckId=id_)["HealthCheck"]
        config = config["HealthCheckConfig"]
        if config["Type"] != "CALCULATED":
            yield config
            return
        for child in config["ChildHealthChecks"]:
            yield from self._configs(child)

    def _watch(self, config: Mapping[str, Any]) -> Watch | str:
        named = config["AlarmIdentifier"]
        cloudwatch = self._account.client("cloudwatch", named["Region"])
        found = cloudwatch.describe_alarms(AlarmNames=[named["Name"]])["MetricAlarms"]
        if not found:
            return f"the alarm {named['Name']} that decides about the first region is not in {named['Region']}"
        [alarm] = found
        balancer = self._first.output("load_balancer_arn").partition(":loadbalancer/")[2]
        targets = {arn.rpartition(":")[2] for arn in self._first.output("target_group_arns").values()}
        watched = {one["Value"] for one in alarm.get("Dimensions", [])}
        if alarm.get("MetricName") != "HealthyHostCount" or balancer not in watched or not watched & targets:
            return f"the alarm {alarm['AlarmName']} watches something else than healthy nodes of the first region"
        if alarm["ComparisonOperator"] not in LESS or alarm["Threshold"] < (
            0 if alarm["ComparisonOperator"] == "LessThanOrEqualToThreshold" else 1
        ):
            return f"the alarm {alarm['AlarmName']} is not raised when no node is healthy"
        if config.get("InsufficientDataHealthStatus") != "Unhealthy":
            return (
                f"the health check on {alarm['AlarmName']} takes silence for "
                f"{config.get('InsufficientDataHealthStatus')}, and a lost region is silent"
            )
        periods = alarm["EvaluationPeriods"]
        return Watch(
            alarm=alarm["AlarmName"],
            window_s=alarm["Period"] * periods,
            window=f"{alarm.get('DatapointsToAlarm', periods)} of {periods} x {alarm['Period']} s in the account",
        )
