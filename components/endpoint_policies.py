"""Policy documents of VPC endpoints, as pure functions: whose calls pass, and what is read without credentials."""

from __future__ import annotations

from collections.abc import Sequence

from components import policies
from components.identity import Identity
from components.policies import Statement


def interface_endpoint(identity: Identity) -> str:
    """What passes a VPC endpoint: calls by this account's own principals, with whatever rights those have.

    Nobody on a node can use the endpoint with credentials of another account, which is a way to carry data out.
    https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html
    """
    return policies.document(_own_principals(identity))


def s3_endpoint(identity: Identity, patch_buckets: Sequence[str]) -> str:
    """As the others, and what is read without credentials from buckets of AWS: image layers, packages, patch scripts.

    ECR hands out layers as links to a bucket of its own, and Amazon Linux's package manager signs no request:
    https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html#ecr-minimum-s3-perms
    https://repost.aws/knowledge-center/ec2-al1-al2-update-yum-without-internet
    The patch scripts are public, and a node gets its baseline's snapshot by a link of Systems Manager's own.
    """
    return policies.document(
        _own_principals(identity),
        _anybody_reads(identity, "ImageLayers", f"prod-{identity.region}-starport-layer-bucket"),
        _anybody_reads(identity, "SystemPackages", f"al2023-repos-{identity.region}-de612dc2"),
        _anybody_reads(identity, "PatchScripts", *patch_buckets),
    )


def _own_principals(identity: Identity) -> Statement:
    return {
        "Sid": "OwnPrincipals",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "*",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalAccount": identity.account_id}},
    }


def _anybody_reads(identity: Identity, sid: str, *buckets: str) -> Statement:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": [f"arn:{identity.partition}:s3:::{bucket}/*" for bucket in buckets],
    }
