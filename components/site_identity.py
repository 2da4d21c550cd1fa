"""SiteIdentity: how a machine at home pushes models with its own certificate, so that no long-lived key lies there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import site_policies
from components.identity import Identity
from stacks.settings import SiteIdentitySettings


@dataclass(frozen=True, kw_only=True)
class SiteIdentityArgs:
    """Arguments of `SiteIdentity`."""

    identity: Identity
    site: SiteIdentitySettings
    bucket_arn: pulumi.Input[str]
    """Of the model repository."""
    key_arn: pulumi.Input[str]
    """Of the key that its objects are encrypted with."""
    archive_bucket_arn: pulumi.Input[str]
    """Of the audit archive, for the gateways' request log."""
    archive_key_arn: pulumi.Input[str]
    tags: Mapping[str, str]


class SiteIdentity(pulumi.ComponentResource):
    """IAM Roles Anywhere: a trust anchor (the site's CA), a role that may only push, and the profile that gives it out.

    The official helper `aws_signing_helper` proves possession of the certificate's key and gets credentials for
    `session_seconds`; `ferry site credentials` writes the AWS profile that calls it. The private keys of the CA and of
    the machines never reach Pulumi or AWS.
    """

    trust_anchor_arn: pulumi.Output[str]
    profile_arn: pulumi.Output[str]
    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: SiteIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:SiteIdentity", name, None, opts)
        child, tags = pulumi.ResourceOptions(parent=self), {**args.tags, "Name": name}

        anchor = aws.rolesanywhere.TrustAnchor(
            name, enabled=True, source=trust_source(args.site), tags=tags, opts=child
        )
        role = aws.iam.Role(
            name,
            description=f"Pushes {', '.join(args.site.models)} from the site",
            assume_role_policy=anchor.arn.apply(lambda arn: site_policies.certificate_trust(arn, args.site.subjects)),
            tags=tags,
            opts=child,
        )
        rights = aws.iam.RolePolicy(
            name,
            role=role.name,
            policy=pulumi.Output.all(
                args.bucket_arn, args.key_arn, args.archive_bucket_arn, args.archive_key_arn
            ).apply(lambda known: rights_of(args.identity, args.site, *known)),
            opts=child,
        )
        profile = aws.rolesanywhere.Profile(
            name,
            enabled=True,
            role_arns=[role.arn],
            duration_seconds=args.site.session_seconds,
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[rights]),
        )

        self.trust_anchor_arn, self.profile_arn, self.role_arn = anchor.arn, profile.arn, role.arn
        self.register_outputs(
            {
                "trust_anchor_arn": self.trust_anchor_arn,
                "profile_arn": self.profile_arn,
                "role_arn": self.role_arn,
            }
        )


def rights_of(
    identity: Identity,
    site: SiteIdentitySettings,
    bucket_arn: str,
    key_arn: str,
    archive_arn: str,
    archive_key_arn: str,
) -> str:
    """Rights of the role, as JSON: push the site's models, and ship the request log of its gateways if it has any."""
    more = (
        site_policies.request_log_rights(
            identity, bucket_arn=archive_arn, key_arn=archive_key_arn, gateways=site.gateways
        )
        if site.gateways
        else ()
    )
    return site_policies.pusher_rights(
        identity,
        bucket_arn=bucket_arn,
        key_arn=key_arn,
        models=site.models,
        signing_key_arn=site.signing_key_arn,
        more=more,
    )


def trust_source(site: SiteIdentitySettings) -> aws.rolesanywhere.TrustAnchorSourceArgsDict:
    """The CA that is trusted: its certificate, or a Private CA of AWS by its ARN."""
    if site.private_ca_arn is not None:
        return {"source_type": "AWS_ACM_PCA", "source_data": {"acm_pca_arn": site.private_ca_arn}}
    return {
        "source_type": "CERTIFICATE_BUNDLE",
        "source_data": {"x509_certificate_data": site.certificate_authority_pem},
    }
