"""Rules on the gateway that also runs in the cloud: its machine, its names, its way home."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from stacks.rule import FERRY, rule

ARM = re.compile(r"^(a1$|[a-z]+\d+[a-z]*g)")
"""Graviton families have a `g` behind the generation (m7g, c6gn, t4g); a1 is the first of them:
https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html"""


@rule("gateway-tier-architecture", "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AMIs.html")
def gateway_tier_architecture(*, instance_type: str, ami_parameter: str) -> str | None:
    """An image runs on instance types of its own architecture."""
    needs, has = (
        "arm64" if arm else "x86_64"
        for arm in (bool(ARM.match(instance_type.partition(".")[0])), "arm64" in ami_parameter)
    )
    if needs == has:
        return None
    return (
        f"ami_parameter names an image for {has}, allowed for {instance_type} is {needs}: change one of the two "
        "(and push Envoy's image for the same architecture)"
    )


@rule("gateway-tier-name", FERRY)
def gateway_tier_name(*, name: str, versions: Sequence[str]) -> str | None:
    """The tier's auto-scaling group is named after it, as those of the model versions are."""
    if name not in versions:
        return None
    return f"a model version is named {name}, which is the gateway's own: give it another name"


@rule("gateway-tier-home", FERRY)
def gateway_tier_home(*, address: str) -> str | None:
    """Nodes have no way to the internet: home is reached by a private IPv4 address, over a VPN or Direct Connect."""
    host = address.rpartition(":")[0]
    try:
        if ipaddress.IPv4Address(host).is_private:
            return None
    except ValueError:
        pass
    return f"home_engine is {address}, allowed is a private IPv4 address with a port: name that, or leave it out"


@rule("gateway-tier-loop", FERRY)
def gateway_tier_loop(*, name: str, load_balancer_name: str) -> str | None:
    """The gateways find the load balancer under `gateway.domain_name`: clients find the gateways under another name."""
    if name != load_balancer_name:
        return None
    return f"name is {name}, under which the gateways look for the load balancer: give clients another name"


@rule(
    "gateway-tier-certificate", "https://docs.aws.amazon.com/acm/latest/userguide/acm-certificate-characteristics.html"
)
def gateway_tier_certificate(*, name: str, domain_name: str) -> str | None:
    """Clients compare the name that they use with the certificate's; a wildcard stands for one label."""
    if domain_name in (name, f"*.{name.partition('.')[2]}"):
        return None
    return (
        f"name is {name}, for which a certificate of {domain_name} is not valid: set gateway_tier.domain_name to the "
        "name, or to a wildcard one label above it, and request that certificate"
    )


@rule("gateway-tier-home-record", FERRY)
def gateway_tier_home_record(*, address: str) -> str | None:
    """Clients who are still sent home get an IPv4 address."""
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return f"home_address is {address}, allowed is an IPv4 address: correct it"
    return None
