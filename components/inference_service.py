"""InferenceService: everything of one stack, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi

from components.access_logs import AccessLogs, AccessLogsArgs
from components.audit_archive import AuditArchive, AuditArchiveArgs
from components.data_sync import DataSync, DataSyncArgs
from components.failover import Failover, FailoverArgs
from components.gateway_tier import GatewayTier, GatewayTierArgs
from components.identity import Identity
from components.inference_fleet import InferenceFleet, InferenceFleetArgs
from components.inference_gateway import InferenceGateway, InferenceGatewayArgs
from components.model_repository import ModelRepository, ModelRepositoryArgs
from components.monitoring import Monitoring, MonitoringArgs
from components.network import Network, NetworkArgs
from components.notifications import Notifications, NotificationsArgs
from components.patching import Patching, PatchingArgs
from components.site_identity import SiteIdentity, SiteIdentityArgs
from stacks.patch_sources import patch_buckets
from stacks.settings import GatewayTierSettings, ModelVersion, Settings
from templates.gateway_node import GATEWAY_BUNDLE


@dataclass(frozen=True, kw_only=True)
class InferenceServiceArgs:
    """Arguments of `InferenceService`."""

    identity: Identity
    settings: Settings
    project: Path
    """Where the program lies; the node bundle's path is relative to it."""


class InferenceService(pulumi.ComponentResource):
    """Network, models, audit archive, load balancer, one fleet for each model version, what watches and scans them.

    And, where the stack asks for it: the gateway in the cloud, the site's identity, DataSync, a second region.
    """

    exports: Mapping[str, Any]
    """What the toolkit reads from the stack, by name."""

    def __init__(self, name: str, args: InferenceServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:InferenceService", name, None, opts)
        self._name, self._identity, self._settings = name, args.identity, args.settings
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = {"ferry:environment": args.settings.environment, **args.settings.tags}
        # Only dev can be disposable, and only what is disposable can be destroyed with what is in it.
        self._permanent = args.settings.audit.mode != "disposable"

        self._patch_buckets = patch_buckets(args.identity.region, args.settings.patching.script_bucket)

        self._make_foundation(args.project)
        self._site_identity, self._data_sync = self._make_site_identity(), self._make_data_sync()
        self._make_gateway()
        tier = self._settings.gateway_tier
        self._tier = self._make_tier(tier) if tier else None
        self._fleets = {version.name: self._make_fleet(version) for version in self._settings.model_versions}
        self._patching = self._make_patching()
        self._monitoring = self._make_monitoring()
        self._failover = self._make_failover()
        self.exports = self._collect_exports()
        self.register_outputs(dict(self.exports))

    def _make_foundation(self, project: Path) -> None:
        name, identity, settings, tags = self._name, self._identity, self._settings, self._tags
        bundle = settings.node_bundle
        self._network = Network(
            f"{name}-network",
            NetworkArgs(identity=identity, network=settings.network, patch_buckets=self._patch_buckets, tags=tags),
            self._child,
        )
        self._notifications = Notifications(
            f"{name}-notifications",
            NotificationsArgs(identity=identity, emails=settings.monitoring.notification_emails, tags=tags),
            self._child,
        )
        self._access_logs = AccessLogs(
            f"{name}-access-logs",
            AccessLogsArgs(
                identity=identity, retention_days=settings.audit.retention_days, protect=self._permanent, tags=tags
            ),
            self._child,
        )
        self._models = ModelRepository(
            f"{name}-models",
            ModelRepositoryArgs(
                identity=identity,
                repository=settings.model_repository,
                node_bundle=project / bundle.path if bundle else None,
                gateway_bundle=(
                    (project / bundle.path).with_name(GATEWAY_BUNDLE) if bundle and settings.gateway_tier else None
                ),
                protect=self._permanent,
                access_log_bucket=self._access_logs.bucket_name,
                tags=tags,
            ),
            self._child,
        )
        self._audit = AuditArchive(
            f"{name}-audit",
            AuditArchiveArgs(
                identity=identity,
                environment=settings.environment,
                audit=settings.audit,
                model_bucket_arns=self._models.bucket_arns,
                alarm_topic_arn=self._notifications.topic_arn,
                access_log_bucket=self._access_logs.bucket_name,
                tags=tags,
            ),
            self._child,
        )

    def _make_site_identity(self) -> SiteIdentity | None:
        if self._settings.site_identity is None:
            return None
        return SiteIdentity(
            f"{self._name}-site",
            SiteIdentityArgs(
                identity=self._identity,
                site=self._settings.site_identity,
                bucket_arn=self._models.bucket_arn,
                key_arn=self._models.key_arn,
                archive_bucket_arn=self._audit.archive_bucket_arn,
                archive_key_arn=self._audit.key_arn,
                tags=self._tags,
            ),
            self._child,
        )

    def _make_data_sync(self) -> DataSync | None:
        if self._settings.data_sync is None:
            return None
        return DataSync(
            f"{self._name}-data-sync",
            DataSyncArgs(
                identity=self._identity,
                data_sync=self._settings.data_sync,
                bucket_arn=self._models.bucket_arn,
                key_arn=self._models.key_arn,
                tags=self._tags,
            ),
            self._child,
        )

    def _make_gateway(self) -> None:
        self._gateway = InferenceGateway(
            f"{self._name}-gateway",
            InferenceGatewayArgs(
                region=self._settings.region,
                gateway=self._settings.gateway,
                versions=self._settings.model_versions,
                vpc_id=self._network.vpc_id,
                public_subnet_ids=self._network.public_subnet_ids,
                access_log_bucket=self._access_logs.bucket_name,
                deletion_protection=self._permanent,
                tags=self._tags,
            ),
            self._child,
        )

    def _make_tier(self, tier: GatewayTierSettings) -> GatewayTier:
        bundle = self._settings.node_bundle
        return GatewayTier(
            f"{self._name}-tier",
            GatewayTierArgs(
                identity=self._identity,
                environment=self._settings.environment,
                tier=tier,
                gateway=self._settings.gateway,
                vpc_id=self._network.vpc_id,
                public_subnet_ids=self._network.public_subnet_ids,
                private_subnet_ids=self._network.private_subnet_ids,
                endpoint_security_group_id=self._network.endpoint_security_group_id,
                s3_prefix_list_id=self._network.s3_prefix_list_id,
                load_balancer_arn=self._gateway.load_balancer_arn,
                load_balancer_security_group_id=self._gateway.security_group_id,
                listener_arn=self._gateway.listener_arn,
                model_bucket_name=self._models.bucket_name,
                model_bucket_arn=self._models.bucket_arn,
                model_key_arn=self._models.key_arn,
                archive_bucket_arn=self._audit.archive_bucket_arn,
                archive_key_arn=self._audit.key_arn,
                bundle_key=self._models.gateway_bundle_key,
                verification_key=bundle.verification_key if bundle else None,
                deletion_protection=self._permanent,
                patch_buckets=self._patch_buckets,
                tags=self._tags,
            ),
            self._child,
        )

    def _make_fleet(self, version: ModelVersion) -> InferenceFleet:
        settings, network = self._settings, self._settings.network
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
                model_bucket_name=self._models.bucket_name,
                model_bucket_arn=self._models.bucket_arn,
                model_key_arn=self._models.key_arn,
                node_bundle_key=self._models.node_bundle_key,
                verification_key=settings.node_bundle.verification_key if settings.node_bundle else None,
                alarm_topic_arn=self._notifications.topic_arn,
                patch_buckets=self._patch_buckets,
                tags=self._tags,
            ),
            self._child,
        )

    def _make_patching(self) -> Patching:
        settings = self._settings
        images = [version.fleet.ami_parameter for version in settings.model_versions]
        if settings.gateway_tier:
            images.append(settings.gateway_tier.ami_parameter)
        return Patching(
            f"{self._name}-patching",
            PatchingArgs(
                environment=settings.environment,
                patching=settings.patching,
                ami_parameters=images,
                alarm_topic_arn=self._notifications.topic_arn,
                tags=self._tags,
            ),
            self._child,
        )

    def _make_monitoring(self) -> Monitoring:
        return Monitoring(
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
                tags=self._tags,
            ),
            self._child,
        )

    def _make_failover(self) -> Failover | None:
        elsewhere, failover, replica = self._settings.elsewhere, self._settings.failover, self._models.replica
        if elsewhere is None or failover is None or replica is None:
            return None
        return Failover(
            f"{self._name}-failover",
            FailoverArgs(
                identity=self._identity,
                settings=self._settings,
                elsewhere=elsewhere,
                zone_id=failover.zone_id,
                replica=replica,
                gateway=self._gateway,
                deletion_protection=self._permanent,
                tags=self._tags,
            ),
            self._child,
        )

    def _collect_exports(self) -> dict[str, Any]:
        exports: dict[str, Any] = {
            "environment": self._settings.environment,
            "region": self._settings.region,
            "vpc_id": self._network.vpc_id,
            "public_subnet_ids": self._network.public_subnet_ids,
            "private_subnet_ids": self._network.private_subnet_ids,
            "model_bucket": self._models.bucket_name,
            "model_key_arn": self._models.key_arn,
            "audit_bucket": self._audit.archive_bucket,
            "audit_key_arn": self._audit.key_arn,
            "access_log_bucket": self._access_logs.bucket_name,
            "trail_arn": self._audit.trail_arn,
            "notification_topic_arn": self._notifications.topic_arn,
            "load_balancer_arn": self._gateway.load_balancer_arn,
            "gateway_dns_name": self._gateway.dns_name,
            "listener_arn": self._gateway.listener_arn,
            "target_group_arns": self._gateway.target_group_arns,
            "group_names": {version: fleet.group_name for version, fleet in self._fleets.items()},
            "launch_template_ids": {version: fleet.launch_template_id for version, fleet in self._fleets.items()},
            "dashboard_name": self._monitoring.dashboard_name,
            "patch_window_id": self._patching.window_id,
        }
        if self._models.replica:
            exports["model_replica_bucket"] = self._models.replica.bucket_name
        if self._site_identity:
            exports["site_trust_anchor_arn"] = self._site_identity.trust_anchor_arn
            exports["site_profile_arn"] = self._site_identity.profile_arn
            exports["site_role_arn"] = self._site_identity.role_arn
        if self._data_sync:
            exports["data_sync_task_arn"] = self._data_sync.task_arn
        if self._tier:
            exports["gateway_tier_group_name"] = self._tier.group_name
            exports["gateway_tier_load_balancer_arn"] = self._tier.load_balancer_arn
            exports["gateway_tier_dns_name"] = self._tier.dns_name
            exports["gateway_tier_door_arn"] = self._tier.door_load_balancer_arn
        if self._failover:
            exports["failover"] = self._failover.exports
        return exports
