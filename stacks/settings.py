"""The typed contract of the stack files: what may stand under the `ferry:` keys of `stacks/Pulumi.<env>.yaml`.

Unknown keys are errors. The unsafe choice has to be asked for by name (`audit.mode: disposable`,
`gateway.allowed_cidrs: [0.0.0.0/0]`). What AWS refuses and its emulators accept stands in `stacks.rules` and is checked
here, so that no `Settings` exists that AWS would refuse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from stacks import rules

PROJECT = "ferry"
GATEWAY_TIER = "gateway-tier"
GATEWAY_CLUSTERS = ("local", "cloud", "local-then-cloud", "cloud-then-local")
"""Names that the gateway at home gives to the two sides, and to each with the other as its fallback."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*[a-z0-9]$", max_length=24)]
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$", max_length=63)]
Cidr = Annotated[str, StringConstraints(pattern=r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$")]
HostAndPort = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+:[1-9]\d{0,4}$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=64)]
ZoneId = Annotated[str, StringConstraints(pattern=r"^Z[A-Z0-9]{1,31}$")]
InstanceType = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]


class Section(BaseModel):
    """A part of a stack file: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExistingNetwork(Section):
    """A VPC that is already there. Ferry adds its endpoints and security groups to it, nothing else."""

    vpc_id: str
    public_subnet_ids: list[str] = Field(min_length=2)
    private_subnet_ids: list[str] = Field(min_length=2)
    private_route_table_ids: list[str] = Field(min_length=1)


class NetworkSettings(Section):
    """The VPC: made by Ferry, or an existing one by ids."""

    cidr: Cidr = "10.40.0.0/16"
    zone_count: int = Field(default=2, ge=2, le=4)
    flow_log_retention_days: Literal[7, 30, 90, 180, 365, 400] = 365
    existing: ExistingNetwork | None = None


class ModelRepositorySettings(Section):
    """The S3 bucket that holds the models."""

    replica_region: str | None = None
    noncurrent_to_glacier_ir_days: int = Field(default=30, ge=1)
    noncurrent_expiration_days: int = Field(default=365, ge=1)
    abort_multipart_days: int = Field(default=7, ge=1)
    governance_lock_days: int | None = Field(
        default=None, ge=1, description="Object Lock in GOVERNANCE mode; cannot be taken off a bucket that is there"
    )


class AuditSettings(Section):
    """The locked archive. `disposable` gives up the lock so that a dev stack can be destroyed."""

    mode: Literal["COMPLIANCE", "disposable"] = "COMPLIANCE"
    retention_days: int = 184
    glacier_days: int = Field(default=30, ge=1)
    deep_archive_days: int = Field(default=184, ge=91)


class WarmPool(Section):
    """Instances kept prepared. AWS excludes Spot from a group that has a warm pool."""

    min_size: int = Field(ge=0)
    state: Literal["Stopped", "Hibernated", "Running"] = "Stopped"


class ScalingSettings(Section):
    """Step scaling on load = (running + waiting) / capacity, averaged over the nodes that report.

    The defaults are the rule of the source article: above 0.8 add 2, below 0.3 remove 1.
    """

    scale_out_above: float = Field(default=0.8, gt=0)
    scale_out_add: int = Field(default=2, ge=1)
    scale_in_below: float = Field(default=0.3, gt=0)
    scale_in_remove: int = Field(default=1, ge=1)
    period_seconds: int = 60
    scale_out_datapoints: int = Field(default=2, ge=1)
    scale_in_datapoints: int = Field(default=10, ge=1)
    warmup_seconds: int = Field(default=300, ge=0)


class ScheduledAction(Section):
    """Sizes that a fleet takes at a recurring time, in a named time zone."""

    name: Slug
    recurrence: str
    time_zone: str
    min_size: int = Field(ge=0)
    max_size: int = Field(ge=0)
    desired_capacity: int | None = None


class FleetSettings(Section):
    """The auto-scaling group of one model version. Several instance types make it a mixed-instances group."""

    instance_types: list[InstanceType] = Field(min_length=1)
    min_size: int = Field(ge=0)
    max_size: int = Field(ge=1)
    on_demand_base: int = Field(default=0, ge=0)
    spot_percentage: int = Field(default=0, ge=0, le=100)
    warm_pool: WarmPool | None = None
    capacity_reservation_count: int = Field(default=0, ge=0)
    ami_parameter: str = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
    root_volume_gib: int = Field(default=200, ge=100)
    boot_timeout_seconds: int = Field(default=1800, ge=300, le=7200)
    scaling: ScalingSettings = ScalingSettings()
    schedules: list[ScheduledAction] = []

    @property
    def never_empty(self) -> bool:
        """Whether the group always has a node, at every hour of its schedules."""
        return self.min_size > 0 and all(schedule.min_size > 0 for schedule in self.schedules)


class EngineSettings(Section):
    """The inference engine of one model version and how it is started."""

    name: Literal["vllm", "sglang"] = "vllm"
    image: str = Field(description="repository:tag in the account's own ECR registry of the stack's region")
    tensor_parallel: int = Field(default=1, ge=1)
    max_sequences: int = Field(default=64, ge=1, description="batch limit; the capacity that load is measured against")
    max_model_tokens: int = Field(default=8192, ge=1)
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    quantization: str | None = None
    extra_arguments: list[str] = []


class ModelVersion(Section):
    """One version of a model: its files, its engine, its fleet, and its weight in the traffic."""

    name: Slug
    model: ModelName
    version: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    weight: int = 100
    engine: EngineSettings
    fleet: FleetSettings


class JwtSettings(Section):
    """Tokens that the load balancer checks (RS256 only; the JWKS has to be publicly reachable)."""

    issuer: str
    jwks_url: str = Field(pattern=r"^https://")
    audience: str | None = None


class StageSettings(Section):
    """A service of its own before or behind the engine, image decoding for example, reached by its path."""

    name: Slug
    prefix: str = Field(pattern=r"^(/[A-Za-z0-9._~-]+)+$", description="requests for it and for what lies below it")
    address: HostAndPort


class HomeVersionSettings(Section):
    """A further engine at home: another version of the model, asked for by the version header or given a weight."""

    name: Slug = Field(description="what the version header says, and the name of its weight")
    address: HostAndPort


class GatewaySettings(Section):
    """The load balancer, and what the gateway at home has besides. An empty `allowed_cidrs` lets nobody in;
    `0.0.0.0/0` has to be written out.
    """

    domain_name: str = Field(description="an ISSUED certificate for it has to be in ACM, in the stack's region")
    allowed_cidrs: list[Cidr] = []
    idle_timeout_seconds: int = Field(default=600, ge=1, le=4000)
    deregistration_delay_seconds: int = Field(default=600, ge=0, le=3600)
    version_header: str = "x-model-version"
    jwt: JwtSettings | None = None
    home_versions: list[HomeVersionSettings] = []
    stages: list[StageSettings] = []
    user_header: HeaderName | None = Field(
        default=None, description="requests of one user, named by this header, stay with one engine at home or away"
    )

    @model_validator(mode="after")
    def _clusters_have_names_of_their_own(self) -> GatewaySettings:
        names = [*GATEWAY_CLUSTERS, *(v.name for v in self.home_versions), *(stage.name for stage in self.stages)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"home_versions and stages: {', '.join(twice)} is taken; give each a name of its own")
        return self


class GatewayRecord(Section):
    """The name that clients use, as two weighted records of Route 53: the gateway at home, and the one in the cloud."""

    zone_id: ZoneId = Field(description="the hosted zone that the name lies in")
    name: str = Field(pattern=r"^([a-z0-9-]+\.)+[a-z0-9-]+$")
    weight: int = Field(default=0, ge=0, le=100, description="percent of the answers that name the cloud's gateway")
    home_address: str = Field(pattern=r"^\d{1,3}(\.\d{1,3}){3}$", description="IPv4 address of the gateway at home")


class GatewayTierSettings(Section):
    """The gateway that also runs in the cloud, in a group of its own. An empty `allowed_cidrs` lets nobody in."""

    image: str = Field(description="Envoy, as repository:tag in the account's own ECR registry of the stack's region")
    instance_type: InstanceType = "m6a.large"
    confidential: bool = Field(
        default=False, description="on AMD SEV-SNP, in memory that the host cannot read; certain types and regions only"
    )
    min_size: int = Field(default=2, ge=2, description="one gateway would be what the tier is there to avoid")
    max_size: int = Field(default=4, ge=2)
    ami_parameter: str = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    root_volume_gib: int = Field(default=30, ge=16)
    domain_name: str | None = Field(
        default=None, description="name of an ISSUED certificate for the clients; left out: gateway.domain_name"
    )
    allowed_cidrs: list[Cidr] = []
    home_engine: HostAndPort | None = Field(
        default=None, description="the engine at home as the fallback, over a VPN or Direct Connect"
    )
    record: GatewayRecord | None = None


class PatchingSettings(Section):
    """When the nodes are scanned for missing patches. Nothing is installed on them: the remedy is a new image."""

    schedule: str = Field(default="cron(0 3 ? * * *)", description="of a maintenance window: cron(...) or rate(...)")
    time_zone: str = "Etc/UTC"
    approve_after_days: int = Field(
        default=7,
        ge=0,
        le=360,
        description="a patch that is out for longer is missing; Ubuntu's at once",
    )
    script_bucket: str | None = Field(
        default=None, description="AWS's bucket of patch scripts, in a region where Ferry does not know it"
    )


class MonitoringSettings(Section):
    """Alarms, their recipients, and the budget."""

    notification_emails: list[str] = []
    latency_p99_seconds: float = Field(default=30, gt=0, description="of whole answers, and so of first bytes too")
    error_rate_percent: float = Field(default=1, gt=0)
    queue_per_instance: int = Field(default=32, ge=1)
    monthly_budget_usd: Decimal | None = Field(default=None, gt=0)
    monthly_budget_cny: Decimal | None = Field(default=None, gt=0, description="for the China regions, billed in CNY")


class NodeBundle(Section):
    """What `ferry render` signed for the nodes: the model puller, and the keys that verify it and the models.

    The bundle of the gateway in the cloud lies beside it, as `gateway-bundle.tar.gz`.
    """

    path: str = Field(description="the bundle, relative to the project; its signature lies beside it as <path>.sig")
    verification_key: str = Field(description="PEM of public keys, one after the other; stands in user data")


class SiteIdentitySettings(Section):
    """Machines at home that push models with a certificate instead of a key (IAM Roles Anywhere)."""

    certificate_authority_pem: str | None = Field(default=None, description="certificates of the site's own CA")
    private_ca_arn: str | None = Field(default=None, description="or a CA of AWS Private CA, in the stack's region")
    subjects: list[Annotated[str, StringConstraints(min_length=1, max_length=64)]] = Field(
        min_length=1, description="common names (CN) of the certificates that may push, each in full"
    )
    models: list[ModelName] = Field(min_length=1, description="the models that they may push and promote")
    gateways: list[Slug] = Field(default=[], description="gateways whose request log they may ship into the archive")
    signing_key_arn: str | None = Field(default=None, description="of a KMS key, ECC_NIST_P256, that they sign with")
    session_seconds: int = Field(default=3600, ge=900, le=43200, description="a long push renews its credentials")


class DataSyncSettings(Section):
    """AWS DataSync from an NFS export at home into one version of a model. The agent has to be activated before."""

    agent_arns: list[str] = Field(min_length=1)
    nfs_server: str = Field(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$", description="as the agent reaches it"
    )
    nfs_path: str = Field(pattern=r"^/[^\x00-\x1f]*$", description="the exported folder of the model")
    model: ModelName
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    limit_mbps: int | None = Field(default=None, ge=1, description="Mbit/s; left out: as fast as the uplink is")


class FailoverSettings(Section):
    """A second region that answers under `gateway.domain_name` when no fleet of the first one does.

    It serves the same versions from the models' replica, each with a group of its own, as large as the first at most.
    """

    region: str = Field(description="another one of the partition; the models' replica has to lie in it")
    zone_id: ZoneId = Field(description="the public hosted zone that gateway.domain_name lies in")
    network: NetworkSettings = NetworkSettings()
    min_size: int = Field(
        default=1, ge=0, description="nodes of each version that always run there; at 0, refused requests start them"
    )
    warm_pool: WarmPool | None = None


class Settings(Section):
    """All of a stack. `region` is Pulumi's own `aws:region`; every other field is `ferry:<field>`."""

    region: str
    environment: Slug
    tags: dict[str, str] = {}
    network: NetworkSettings = NetworkSettings()
    model_repository: ModelRepositorySettings = ModelRepositorySettings()
    audit: AuditSettings = AuditSettings()
    model_versions: list[ModelVersion] = Field(min_length=1)
    gateway: GatewaySettings
    gateway_tier: GatewayTierSettings | None = None
    monitoring: MonitoringSettings = MonitoringSettings()
    patching: PatchingSettings = PatchingSettings()
    node_bundle: NodeBundle | None = None
    site_identity: SiteIdentitySettings | None = None
    data_sync: DataSyncSettings | None = None
    failover: FailoverSettings | None = None

    @model_validator(mode="after")
    def _aws_accepts_it(self) -> Settings:
        if broken := rules.violations(self):
            raise ValueError("; ".join(broken))
        return self

    @property
    def partition(self) -> str:
        """AWS partition of the region: `aws`, `aws-cn` or `aws-us-gov`."""
        return rules.partition(self.region)

    @property
    def elsewhere(self) -> Settings | None:
        """What of the stack stands in the second region, as the settings of a stack of its own.

        Neither reservations nor schedules: what is always there is `failover.min_size`.
        """
        if (failover := self.failover) is None:
            return None
        fleet: dict[str, Any] = {
            "min_size": failover.min_size,
            "warm_pool": failover.warm_pool,
            "capacity_reservation_count": 0,
            "schedules": [],
        }
        return self.model_copy(
            update={
                "region": failover.region,
                "network": failover.network,
                "model_repository": self.model_repository.model_copy(update={"replica_region": None}),
                "model_versions": [
                    version.model_copy(update={"fleet": version.fleet.model_copy(update=fleet)})
                    for version in self.model_versions
                ],
                "gateway_tier": None,
                "site_identity": None,
                "data_sync": None,
                "patching": self.patching.model_copy(update={"script_bucket": None}),  # one of the first region
                "failover": None,
            }
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """Read Pulumi's configuration: `namespace:key` to value, structured values as JSON text or as they are.

        Keys of other namespaces are left alone, except `aws:region`. Raises `pydantic.ValidationError`.
        """
        fields: dict[str, Any] = {}
        if "aws:region" in config:
            fields["region"] = config["aws:region"]
        for key, value in config.items():
            namespace, _, name = key.partition(":")
            # An empty section says the same as none; Pulumi passes `{}` for each section that a stack leaves out.
            if namespace == PROJECT and (section := _structured(value)) != {}:
                fields[name] = section
        return cls.model_validate(fields)

    @classmethod
    def load(cls, stack_file: Path) -> Settings:
        """Read a stack file. Raises `OSError`, `yaml.YAMLError` or `pydantic.ValidationError`."""
        document = yaml.safe_load(stack_file.read_text(encoding="utf-8")) or {}
        return cls.from_config(document.get("config", {}))


def group_name(environment: str, version_name: str) -> str:
    """Name of a fleet's group. Fixed, because user data, rights and metrics have to know it before it exists."""
    return f"ferry-{environment}-{version_name}"


def gateway_group_name(environment: str) -> str:
    """Name of the group of the gateway in the cloud. A model version cannot take it (rule gateway-tier-name)."""
    return group_name(environment, GATEWAY_TIER)


def _structured(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "[{":
        return json.loads(value)
    return value
