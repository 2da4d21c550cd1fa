"""What a real account has before `pulumi up` and an embedded one has not: images, certificate, an existing network.

Runs in the server's process, because AWS's API lets nobody write `/aws/…` parameters or choose the id of a VPC.
Everything that is put in is named in the result; what the program looks up beyond that is not there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.models import EC2Backend, ec2_backends, route_tables, subnets, vpcs
from moto.ec2.models.amis import Ami
from moto.ec2.utils import random_ami_id
from moto.route53.models import FakeZone, route53_backends
from moto.ssm.models import Parameter, ssm_backends

from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.environment import ACCOUNT_ID
from stacks.settings import ExistingNetwork, Settings


def seed(account: EmbeddedAccount, settings: Settings, before: Sequence[str] = ()) -> list[str]:
    """Put in what the stack names and does not create, unless it is there before; one line for each thing."""

    def missing(start: str) -> bool:
        return not any(line.startswith(start) for line in before)

    seeded = []
    for regional in filter(None, (settings, settings.elsewhere)):
        region, domain = regional.region, regional.gateway.domain_name
        seeded += [
            _image_parameter(region, name)
            for name in sorted({version.fleet.ami_parameter for version in regional.model_versions})
            if missing(f"SSM parameter {name} in {region}")
        ]
        if missing(f"ACM certificate for {domain} in {region}"):
            seeded.append(_certificate(account, domain, region))
        existing = regional.network.existing
        if existing and missing(f"VPC {existing.vpc_id} "):
            seeded.append(_network(region, existing, regional.network.cidr))
    if tier := settings.gateway_tier:
        if missing(f"SSM parameter {tier.ami_parameter} "):
            seeded.append(_image_parameter(settings.region, tier.ami_parameter))
        own = tier.domain_name or settings.gateway.domain_name
        if own != settings.gateway.domain_name and missing(f"ACM certificate for {own} "):
            seeded.append(_certificate(account, own, settings.region))
        if tier.record and missing(f"Route 53 zone {tier.record.zone_id} "):
            seeded.append(_zone(settings, tier.record.zone_id, tier.record.name))
    if failover := settings.failover:
        zone = failover.zone_id
        if not any(line.startswith(f"Route 53 zone {zone} ") for line in [*before, *seeded]):
            seeded.append(_zone(settings, zone, settings.gateway.domain_name))
    return seeded


def _image_parameter(region: str, name: str) -> str:
    ec2 = ec2_backends[ACCOUNT_ID][region]
    image = Ami(
        ec2,
        random_ami_id(),
        name=name.strip("/").replace("/", "-"),
        description="stands for the image that the parameter names in AWS",
        owner_alias="amazon",
        public=True,
        virtualization_type="hvm",
        architecture="arm64" if "arm64" in name else "x86_64",
        root_device_type="ebs",
        region_name=_zones(ec2)[0],
    )
    ec2.amis[image.id] = image
    parameters = ssm_backends[ACCOUNT_ID][region]._parameters
    # moto brings some of AWS's public parameters; their images do not exist here, and a name that was not seeded fails.
    parameters.latest_amis_loaded = parameters.latest_ecs_amis_loaded = True
    parameter: Any = Parameter  # abstract by its base, and yet what moto itself makes
    parameters[name].append(
        parameter(
            ACCOUNT_ID,
            name,
            value=image.id,
            parameter_type="String",
            description=None,
            allowed_pattern=None,
            keyid=None,
            last_modified_date=utcnow(),
            version=1,
            data_type="aws:ec2:image",
        )
    )
    return f"SSM parameter {name} in {region}: {image.id}, an empty {image.architecture} image"


def _certificate(account: EmbeddedAccount, domain_name: str, region: str) -> str:
    acm = account.client("acm", region)
    arn = acm.request_certificate(DomainName=domain_name, ValidationMethod="DNS")["CertificateArn"]
    return f"ACM certificate for {domain_name} in {region}: {arn}, issued"


def _zone(settings: Settings, zone_id: str, record_name: str) -> str:
    name = f"{record_name.partition('.')[2]}."
    route53 = route53_backends[ACCOUNT_ID][settings.partition]
    zone: Any = FakeZone  # abstract by its base, as Parameter is
    route53.zones[zone_id] = zone(name, zone_id, False, "seed")
    return f"Route 53 zone {zone_id} for {name.rstrip('.')}"


def _network(region: str, network: ExistingNetwork, cidr: str) -> str:
    ec2 = ec2_backends[ACCOUNT_ID][region]
    ids = [*network.public_subnet_ids, *network.private_subnet_ids]
    blocks = ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=4)
    zones = _zones(ec2)
    with _next_id(vpcs, "random_vpc_id", network.vpc_id):
        ec2.create_vpc(cidr)
    for number, (subnet_id, block) in enumerate(zip(ids, blocks, strict=False)):
        with _next_id(subnets, "random_subnet_id", subnet_id):
            ec2.create_subnet(network.vpc_id, str(block), availability_zone=zones[number % len(zones)])
    for table_id in network.private_route_table_ids:
        with _next_id(route_tables, "random_route_table_id", table_id):
            ec2.create_route_table(network.vpc_id)
    return f"VPC {network.vpc_id} ({cidr}) in {region} with {', '.join([*ids, *network.private_route_table_ids])}"


def _zones(ec2: EC2Backend) -> list[str]:
    return [zone.name for zone in ec2.describe_availability_zones()]


@contextmanager
def _next_id(module: ModuleType, generator: str, wanted: str) -> Iterator[None]:
    """Let moto give a chosen id to the next thing that it creates."""
    original: Callable[[], str] = getattr(module, generator)
    setattr(module, generator, lambda: wanted)
    try:
        yield
    finally:
        setattr(module, generator, original)
