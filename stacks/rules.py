"""What AWS refuses and its emulators accept, as data with sources, checked before anything is created.

Each rule is a pure predicate on plain values and can be called on a component's arguments as well:

    if refused := rules.target_group_name(logical_name=name):
        raise ValueError(refused)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stacks.confidential_rules import sev_snp_region, sev_snp_type
from stacks.fleet_rules import (
    group_sizes,
    instance_type_count,
    instance_type_partition,
    on_demand_base,
    reservation_on_demand,
    wakes_up,
    warm_pool_hibernation,
    warm_pool_mixed,
    warm_pool_running,
    warm_pool_spot,
)
from stacks.gateway_rules import (
    gateway_tier_architecture,
    gateway_tier_certificate,
    gateway_tier_home,
    gateway_tier_home_record,
    gateway_tier_loop,
    gateway_tier_name,
)
from stacks.patching_rules import patching_schedule, patching_time_zone
from stacks.rule import FERRY, RULES, Rule
from stacks.scaling_rules import (
    alarm_period,
    alarm_range,
    alarm_resolution,
    scaling_thresholds,
    schedule_names,
    schedule_recurrence,
    schedule_time_zone,
    step_adjustments,
)
from stacks.service_rules import (
    audit_disposable,
    audit_retention,
    budget_currency,
    deregistration_delay,
    failover_awake,
    failover_replica,
    idle_timeout,
    jwt_length,
    lifecycle_order,
    load_balancer_name,
    log_delivery_bucket,
    partition,
    replica_partition,
    replica_region,
    some_weight,
    target_group_name,
    target_groups_per_rule,
    version_header,
    version_names,
    vpc_size,
    weight,
)
from stacks.site_rules import (
    data_sync_agents,
    site_authority,
    site_authority_certificate,
    site_private_ca,
    site_signing_key,
    verification_keys,
)

if TYPE_CHECKING:
    from stacks.settings import FleetSettings, ModelVersion, ScalingSettings, Settings

__all__ = [
    "FERRY",
    "RULES",
    "Rule",
    "alarm_period",
    "alarm_range",
    "alarm_resolution",
    "audit_disposable",
    "audit_retention",
    "budget_currency",
    "data_sync_agents",
    "deregistration_delay",
    "failover_awake",
    "failover_replica",
    "fleet_violations",
    "gateway_tier_architecture",
    "gateway_tier_certificate",
    "gateway_tier_home",
    "gateway_tier_home_record",
    "gateway_tier_loop",
    "gateway_tier_name",
    "group_sizes",
    "idle_timeout",
    "instance_type_count",
    "instance_type_partition",
    "jwt_length",
    "lifecycle_order",
    "load_balancer_name",
    "log_delivery_bucket",
    "on_demand_base",
    "partition",
    "patching_schedule",
    "patching_time_zone",
    "replica_partition",
    "replica_region",
    "reservation_on_demand",
    "scaling_thresholds",
    "schedule_names",
    "schedule_recurrence",
    "schedule_time_zone",
    "sev_snp_region",
    "sev_snp_type",
    "site_authority",
    "site_authority_certificate",
    "site_private_ca",
    "site_signing_key",
    "some_weight",
    "step_adjustments",
    "target_group_name",
    "target_groups_per_rule",
    "verification_keys",
    "version_header",
    "version_names",
    "violations",
    "vpc_size",
    "wakes_up",
    "warm_pool_hibernation",
    "warm_pool_mixed",
    "warm_pool_running",
    "warm_pool_spot",
    "weight",
]

Place = tuple[str, str | None]
"""A field of the settings, and what a rule says of it."""


def violations(settings: Settings) -> list[str]:
    """One sentence for each rule that the settings break; empty when AWS would accept them."""
    broken = _sentences(_of_stack(settings))
    for version in settings.model_versions:
        broken += fleet_violations(version, settings.region)
    if elsewhere := settings.elsewhere:
        broken += [
            f"failover, {sentence}"
            for version in elsewhere.model_versions
            for sentence in fleet_violations(version, elsewhere.region)
        ]
    return broken


def fleet_violations(version: ModelVersion, region: str) -> list[str]:
    """One sentence for each rule that the fleet of a model version breaks in a region."""
    where = f"model_versions.{version.name}.fleet"
    fleet = version.fleet
    return [
        f"{where}{sentence}"
        for sentence in _sentences(
            [
                *_of_group(version, region),
                *_of_scaling(fleet.scaling),
                *_of_schedules(fleet),
            ]
        )
    ]


def _sentences(places: Iterator[Place] | list[Place]) -> list[str]:
    return [f"{place}: {sentence}" for place, sentence in places if sentence]


def _of_stack(settings: Settings) -> Iterator[Place]:
    versions, audit, gateway = settings.model_versions, settings.audit, settings.gateway
    yield from _of_network_and_models(settings)
    yield from _of_site(settings)
    yield from _of_gateway_tier(settings)
    yield from _of_failover(settings)
    yield "audit.retention_days", audit_retention(mode=audit.mode, days=audit.retention_days)
    yield "audit.mode", audit_disposable(mode=audit.mode, environment=settings.environment)
    yield (
        "audit",
        lifecycle_order(
            first="glacier_days",
            first_days=audit.glacier_days,
            then="deep_archive_days",
            then_days=audit.deep_archive_days,
        ),
    )
    yield "gateway.idle_timeout_seconds", idle_timeout(seconds=gateway.idle_timeout_seconds)
    yield (
        "gateway.deregistration_delay_seconds",
        deregistration_delay(seconds=gateway.deregistration_delay_seconds),
    )
    yield "gateway.version_header", version_header(name=gateway.version_header)
    if gateway.jwt:
        yield "gateway.jwt.issuer", jwt_length(value=gateway.jwt.issuer)
        yield "gateway.jwt.jwks_url", jwt_length(value=gateway.jwt.jwks_url)
        yield "gateway.jwt.audience", jwt_length(value=gateway.jwt.audience or "")
    yield (
        "monitoring",
        budget_currency(
            region=settings.region,
            has_usd=settings.monitoring.monthly_budget_usd is not None,
            has_cny=settings.monitoring.monthly_budget_cny is not None,
        ),
    )
    yield "patching.schedule", patching_schedule(schedule=settings.patching.schedule)
    yield "patching.time_zone", patching_time_zone(time_zone=settings.patching.time_zone)
    yield "model_versions", version_names(names=[version.name for version in versions])
    yield "model_versions", target_groups_per_rule(count=len(versions))
    yield "model_versions", some_weight(weights=[version.weight for version in versions])
    for version in versions:
        yield f"model_versions.{version.name}.weight", weight(value=version.weight)
        yield (
            f"model_versions.{version.name}.fleet",
            wakes_up(
                weight=version.weight,
                min_size=version.fleet.min_size,
                scheduled_min_sizes=[schedule.min_size for schedule in version.fleet.schedules],
            ),
        )


def _of_network_and_models(settings: Settings) -> Iterator[Place]:
    if settings.network.existing is None:
        yield "network.cidr", vpc_size(cidr=settings.network.cidr)
    models = settings.model_repository
    yield (
        "model_repository",
        lifecycle_order(
            first="noncurrent_to_glacier_ir_days",
            first_days=models.noncurrent_to_glacier_ir_days,
            then="noncurrent_expiration_days",
            then_days=models.noncurrent_expiration_days,
        ),
    )
    if models.replica_region:
        given = {"region": settings.region, "replica_region": models.replica_region}
        yield "model_repository.replica_region", replica_partition(**given)
        yield "model_repository.replica_region", replica_region(**given)


def _of_site(settings: Settings) -> Iterator[Place]:
    if site := settings.site_identity:
        pem, private_ca = site.certificate_authority_pem, site.private_ca_arn
        yield "site_identity", site_authority(has_pem=pem is not None, has_private_ca=private_ca is not None)
        if pem is not None:
            yield "site_identity.certificate_authority_pem", site_authority_certificate(pem=pem)
        if private_ca is not None:
            yield "site_identity.private_ca_arn", site_private_ca(arn=private_ca, region=settings.region)
        if site.signing_key_arn is not None:
            yield (
                "site_identity.signing_key_arn",
                site_signing_key(arn=site.signing_key_arn, region=settings.region),
            )
    if bundle := settings.node_bundle:
        yield "node_bundle.verification_key", verification_keys(pem=bundle.verification_key)
    if sync := settings.data_sync:
        yield "data_sync.agent_arns", data_sync_agents(arns=sync.agent_arns, region=settings.region)


def _of_gateway_tier(settings: Settings) -> Iterator[Place]:
    if (tier := settings.gateway_tier) is None:
        return
    yield "gateway_tier", group_sizes(min_size=tier.min_size, max_size=tier.max_size)
    yield (
        "gateway_tier",
        gateway_tier_architecture(instance_type=tier.instance_type, ami_parameter=tier.ami_parameter),
    )
    yield (
        "model_versions",
        gateway_tier_name(name="gateway-tier", versions=[version.name for version in settings.model_versions]),
    )
    if tier.confidential:
        yield "gateway_tier.instance_type", sev_snp_type(instance_type=tier.instance_type)
        yield "gateway_tier.confidential", sev_snp_region(region=settings.region)
    if tier.home_engine is not None:
        yield "gateway_tier.home_engine", gateway_tier_home(address=tier.home_engine)
    if record := tier.record:
        load_balancer = settings.gateway.domain_name
        yield "gateway_tier.record", gateway_tier_loop(name=record.name, load_balancer_name=load_balancer)
        yield (
            "gateway_tier.record",
            gateway_tier_certificate(name=record.name, domain_name=tier.domain_name or load_balancer),
        )
        yield "gateway_tier.record", gateway_tier_home_record(address=record.home_address)


def _of_failover(settings: Settings) -> Iterator[Place]:
    if (failover := settings.failover) is None:
        return
    replica = settings.model_repository.replica_region
    yield "failover.region", failover_replica(region=failover.region, replica_region=replica)
    if failover.network.existing is None:
        yield "failover.network.cidr", vpc_size(cidr=failover.network.cidr)
    always = [version.name for version in settings.model_versions if version.weight and version.fleet.never_empty]
    yield "failover", failover_awake(versions=always)


def _of_group(version: ModelVersion, region: str) -> Iterator[Place]:
    fleet, pool = version.fleet, version.fleet.warm_pool
    yield "", group_sizes(min_size=fleet.min_size, max_size=fleet.max_size)
    yield "", on_demand_base(base=fleet.on_demand_base, max_size=fleet.max_size)
    yield ".instance_types", instance_type_count(instance_types=fleet.instance_types)
    for instance_type in fleet.instance_types:
        yield ".instance_types", instance_type_partition(instance_type=instance_type, region=region)
    yield "", warm_pool_spot(has_warm_pool=pool is not None, spot_percentage=fleet.spot_percentage)
    yield (
        "",
        warm_pool_mixed(has_warm_pool=pool is not None, instance_types=fleet.instance_types, region=region),
    )
    if pool is not None:
        yield ".warm_pool", warm_pool_running(state=pool.state)
        for instance_type in fleet.instance_types:
            yield ".warm_pool", warm_pool_hibernation(state=pool.state, instance_type=instance_type)
    yield (
        "",
        reservation_on_demand(
            reserved=fleet.capacity_reservation_count,
            on_demand_base=fleet.on_demand_base,
            spot_percentage=fleet.spot_percentage,
        ),
    )


def _of_scaling(scaling: ScalingSettings) -> Iterator[Place]:
    period = scaling.period_seconds
    yield ".scaling.period_seconds", alarm_period(period_seconds=period)
    # A node sends one value a minute (templates.engine_metrics): no load metric has a higher resolution.
    yield ".scaling.period_seconds", alarm_resolution(period_seconds=period, high_resolution=False)
    for name in ("scale_out_datapoints", "scale_in_datapoints"):
        yield f".scaling.{name}", alarm_range(period_seconds=period, datapoints=getattr(scaling, name))
    yield (
        ".scaling",
        scaling_thresholds(scale_out_above=scaling.scale_out_above, scale_in_below=scaling.scale_in_below),
    )


def _of_schedules(fleet: FleetSettings) -> Iterator[Place]:
    yield ".schedules", schedule_names(names=[schedule.name for schedule in fleet.schedules])
    for schedule in fleet.schedules:
        where = f".schedules.{schedule.name}"
        yield where, schedule_recurrence(recurrence=schedule.recurrence)
        yield where, schedule_time_zone(time_zone=schedule.time_zone)
        yield (
            where,
            group_sizes(
                min_size=schedule.min_size,
                max_size=schedule.max_size,
                desired_capacity=schedule.desired_capacity,
            ),
        )
