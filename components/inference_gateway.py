"""InferenceGateway: the load balancer in front of the fleets; HTTPS only, closed unless the stack opens it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from stacks.settings import GatewaySettings, JwtSettings, ModelVersion

ENGINE_PORT = 8000
"""Where the engine of a node listens: HTTP, inside the VPC only."""

# TLS 1.3, and 1.2 with forward secrecy and AEAD ciphers only; hybrid post-quantum key exchange. What AWS recommends, in
# the China regions as well: https://docs.amazonaws.cn/en_us/elasticloadbalancing/latest/application/describe-ssl-policies.html
SSL_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"

# Every kind of certificate that a load balancer takes. The provider looks for RSA_2048 alone when none is named.
CERTIFICATE_KEY_TYPES = ("RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1")


@dataclass(frozen=True, kw_only=True)
class InferenceGatewayArgs:
    """Arguments of `InferenceGateway`."""

    region: str
    """Where the certificate is looked up."""
    gateway: GatewaySettings
    versions: Sequence[ModelVersion]
    """Each gets a target group; their weights share the traffic out."""
    vpc_id: pulumi.Input[str]
    public_subnet_ids: pulumi.Input[Sequence[str]]
    """Two zones or more."""
    access_log_bucket: pulumi.Input[str]
    """Takes the access logs below `alb/`; its policy has to be in place before the load balancer is made."""
    deletion_protection: bool = True
    """Off only in stacks that must be destroyed."""
    tags: Mapping[str, str]


class InferenceGateway(pulumi.ComponentResource):
    """An application load balancer: one target group for each model version, traffic by weight or by header.

    A request that names a version in `gateway.version_header` goes to that version; the others go by weight.
    """

    load_balancer_arn: pulumi.Output[str]
    load_balancer_arn_suffix: pulumi.Output[str]
    """`app/<name>/<id>`, the value of CloudWatch's dimension `LoadBalancer`."""
    dns_name: pulumi.Output[str]
    zone_id: pulumi.Output[str]
    """Route 53's zone of `dns_name`, for aliases."""
    security_group_id: pulumi.Output[str]
    """Of the load balancer; each fleet adds the way out to its own nodes."""
    listener_arn: pulumi.Output[str]
    target_group_arns: dict[str, pulumi.Output[str]]
    """By version name."""
    target_group_arn_suffixes: dict[str, pulumi.Output[str]]
    """By version name; `targetgroup/<name>/<id>`, the value of CloudWatch's dimension `TargetGroup`."""

    def __init__(self, name: str, args: InferenceGatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:InferenceGateway", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)

        load_balancer = self._make_load_balancer()
        target_groups = {version.name: self._make_target_group(version) for version in args.versions}
        listener = self._make_listener(load_balancer, target_groups)

        self.load_balancer_arn = load_balancer.arn
        self.load_balancer_arn_suffix = load_balancer.arn_suffix
        self.dns_name, self.zone_id = load_balancer.dns_name, load_balancer.zone_id
        self.listener_arn = listener.arn
        self.target_group_arns = {version: group.arn for version, group in target_groups.items()}
        self.target_group_arn_suffixes = {version: group.arn_suffix for version, group in target_groups.items()}
        self.register_outputs(
            {
                "load_balancer_arn": self.load_balancer_arn,
                "load_balancer_arn_suffix": self.load_balancer_arn_suffix,
                "dns_name": self.dns_name,
                "zone_id": self.zone_id,
                "security_group_id": self.security_group_id,
                "listener_arn": self.listener_arn,
                "target_group_arns": self.target_group_arns,
                "target_group_arn_suffixes": self.target_group_arn_suffixes,
            }
        )

    def _make_load_balancer(self) -> aws.lb.LoadBalancer:
        name, gateway = self._name, self._args.gateway
        group = aws.ec2.SecurityGroup(
            f"{name}-lb",
            vpc_id=self._args.vpc_id,
            description="Load balancer: HTTPS from the addresses that the stack names",
            tags=self._tags("lb"),
            opts=self._child,
        )
        self.security_group_id = group.id
        admit_addresses(name, group, gateway.allowed_cidrs, protocol="HTTPS", tags=self._args.tags, parent=self)
        if gateway.jwt:
            # The load balancer itself fetches the JWKS, from an address that its issuer may change.
            aws.vpc.SecurityGroupEgressRule(
                f"{name}-to-jwks",
                security_group_id=group.id,
                description=f"HTTPS to {gateway.jwt.jwks_url}"[:255],
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                cidr_ipv4="0.0.0.0/0",
                tags=self._tags("to-jwks"),
                opts=self._child,
            )
        return aws.lb.LoadBalancer(
            f"{name}-lb",
            load_balancer_type="application",
            internal=False,
            subnets=self._args.public_subnet_ids,
            security_groups=[group.id],
            idle_timeout=gateway.idle_timeout_seconds,
            drop_invalid_header_fields=True,
            enable_deletion_protection=self._args.deletion_protection,
            access_logs={"bucket": self._args.access_log_bucket, "prefix": "alb", "enabled": True},
            tags=self._tags("lb"),
            opts=self._child,
        )

    def _make_target_group(self, version: ModelVersion) -> aws.lb.TargetGroup:
        return aws.lb.TargetGroup(
            f"{self._name}-{version.name}",
            # A name holds 32 characters, too few for the version's and a suffix that lets it be replaced.
            name_prefix="ferry-",
            vpc_id=self._args.vpc_id,
            target_type="instance",
            protocol="HTTP",
            port=ENGINE_PORT,
            # Requests differ by a factor of a thousand in length, so taking turns would pile the long ones up.
            load_balancing_algorithm_type="least_outstanding_requests",
            deregistration_delay=self._args.gateway.deregistration_delay_seconds,
            health_check={
                "enabled": True,
                "protocol": "HTTP",
                "path": "/health",
                "matcher": "200",
                "interval": 15,
                "timeout": 5,
                "healthy_threshold": 2,
                "unhealthy_threshold": 3,
            },
            tags=self._tags(version.name),
            opts=self._child,
        )

    def _make_listener(
        self, load_balancer: aws.lb.LoadBalancer, target_groups: Mapping[str, aws.lb.TargetGroup]
    ) -> aws.lb.Listener:
        name, gateway, versions = self._name, self._args.gateway, self._args.versions
        first = [jwt_validation(gateway.jwt)] if gateway.jwt else []
        listener = aws.lb.Listener(
            f"{name}-https",
            load_balancer_arn=load_balancer.arn,
            port=443,
            protocol="HTTPS",
            ssl_policy=SSL_POLICY,
            certificate_arn=issued_certificate(gateway.domain_name, self._args.region, self),
            default_actions=[
                *first,
                {
                    "type": "forward",
                    "order": 1 + len(first),
                    "forward": {
                        "target_groups": [
                            {"arn": target_groups[version.name].arn, "weight": version.weight} for version in versions
                        ]
                    },
                },
            ],
            tags=self._tags("https"),
            opts=self._child,
        )
        for version in versions:
            aws.lb.ListenerRule(
                f"{name}-pin-{version.name}",
                listener_arn=listener.arn,
                priority=rule_priority(version.name),
                conditions=[{"http_header": {"http_header_name": gateway.version_header, "values": [version.name]}}],
                actions=[
                    *first,
                    {
                        "type": "forward",
                        "order": 1 + len(first),
                        "target_group_arn": target_groups[version.name].arn,
                    },
                ],
                tags=self._tags(f"pin-{version.name}"),
                opts=self._child,
            )
        return listener

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}


def issued_certificate(domain_name: str, region: str, parent: pulumi.Resource) -> pulumi.Output[str]:
    """ARN of the newest certificate of a region's ACM for a domain; the program fails where none is issued."""
    return aws.acm.get_certificate_output(
        domain=domain_name,
        region=region,
        statuses=["ISSUED"],
        key_types=list(CERTIFICATE_KEY_TYPES),
        most_recent=True,
        opts=pulumi.InvokeOutputOptions(parent=parent),
    ).arn


def admit_addresses(
    name: str,
    group: aws.ec2.SecurityGroup,
    cidrs: Sequence[str],
    *,
    protocol: str,
    tags: Mapping[str, str],
    parent: pulumi.Resource,
) -> None:
    """Let these addresses, and no others, reach port 443 of what has the security group. `protocol` is for people."""
    for cidr in cidrs:
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-from-{cidr.replace('/', '-')}",
            security_group_id=group.id,
            description=f"{protocol} from {cidr}",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4=cidr,
            tags={**tags, "Name": f"{name}-from-{cidr}"},
            opts=pulumi.ResourceOptions(parent=parent),
        )


def jwt_validation(jwt: JwtSettings) -> aws.lb.ListenerRuleActionArgsDict:
    """The action that lets only requests with a valid token go on to the next one.

    Issuer and expiry are always checked; the audience, where one is set, has to be the token's one `aud`.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-verify-jwt.html
    """
    validation: aws.lb.ListenerRuleActionJwtValidationArgsDict = {"issuer": jwt.issuer, "jwks_endpoint": jwt.jwks_url}
    if jwt.audience is not None:
        validation["additional_claims"] = [{"name": "aud", "format": "single-string", "values": [jwt.audience]}]
    return {"type": "jwt-validation", "order": 1, "jwt_validation": validation}


def rule_priority(version_name: str) -> int:
    """Priority of a version's rule, 1 to 50000. It follows from the name, so versions come and go without a clash."""
    return 1 + int(hashlib.sha256(version_name.encode()).hexdigest(), 16) % 50_000
