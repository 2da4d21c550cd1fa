"""Policy documents for what comes from home, as pure functions: who may push which models, and how DataSync writes."""

from __future__ import annotations

from collections.abc import Sequence

from components import policies
from components.identity import Identity
from components.policies import Statement

WEAKENING = (
    "s3:BypassGovernanceRetention",
    "s3:DeleteBucketPolicy",
    "s3:DeleteObjectVersion",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutBucketPolicy",
    "s3:PutBucketVersioning",
    "s3:PutLifecycleConfiguration",
    "s3:PutObjectRetention",
    "s3:PutReplicationConfiguration",
)
"""What would let a pusher delete for good, at once or by a detour: the lifecycle's days, versioning, lock, policy."""


def pusher_rights(
    identity: Identity,
    *,
    bucket_arn: str,
    key_arn: str,
    models: Sequence[str],
    signing_key_arn: str | None = None,
    more: Sequence[Statement] = (),
) -> str:
    """Rights of whoever pushes these models, as JSON: their versions and channels, and nothing else in the bucket.

    `signing_key_arn`: a KMS key that they may sign with, in KMS itself; nothing else may be done with it.

    A delete marker may be put (a push of other files under the same name, `ferry models prune`); a version stays.
    What is granted is not enough to weaken the bucket, and a wider policy on the same role does not make it so either.
    `more` are statements about other buckets.
    """
    versions = [f"{bucket_arn}/models/{model}/*" for model in models]
    channels = [f"{bucket_arn}/channels/{model}/*" for model in models]
    return policies.document(
        {
            "Sid": "WriteOwnModels",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            "Resource": versions,
        },
        {
            "Sid": "PromoteOwnModels",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": channels,
        },
        {"Sid": "MarkAsDeleted", "Effect": "Allow", "Action": "s3:DeleteObject", "Resource": versions},
        {
            "Sid": "ListOwnModels",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket_arn,
            "Condition": {
                "StringLike": {
                    "s3:prefix": [f"{kind}/{model}/*" for kind in ("models", "channels") for model in models]
                }
            },
        },
        {
            # Neither knows a condition on the prefix:
            # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
            "Sid": "SeeUploadsAndVersioning",
            "Effect": "Allow",
            "Action": ["s3:GetBucketVersioning", "s3:ListBucketMultipartUploads"],
            "Resource": bucket_arn,
        },
        use_key_through_s3(identity, key_arn),
        *([] if signing_key_arn is None else [sign_with(signing_key_arn)]),
        {
            "Sid": "NeverWeaken",
            "Effect": "Deny",
            "Action": list(WEAKENING),
            "Resource": [bucket_arn, f"{bucket_arn}/*"],
        },
        *more,
    )


def request_log_rights(
    identity: Identity, *, bucket_arn: str, key_arn: str, gateways: Sequence[str]
) -> Sequence[Statement]:
    """What ships the request log of these gateways needs: put, look what was put, find the last; never delete."""
    return (
        {
            "Sid": "ShipRequestLog",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": [f"{bucket_arn}/requests/{gateway}/*" for gateway in gateways],
        },
        {
            "Sid": "FindEndOfRequestLog",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket_arn,
            "Condition": {"StringLike": {"s3:prefix": [f"requests/{gateway}/*" for gateway in gateways]}},
        },
        {**use_key_through_s3(identity, key_arn), "Sid": "UseArchiveKeyThroughS3"},
        {
            "Sid": "NeverWeakenArchive",
            "Effect": "Deny",
            "Action": ["s3:DeleteObject", *WEAKENING],
            "Resource": [bucket_arn, f"{bucket_arn}/*"],
        },
    )


def use_key_through_s3(identity: Identity, key_arn: str) -> Statement:
    """Encrypt and, for multipart uploads, decrypt with the bucket's key, by way of S3 only.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions
    """
    return {
        "Sid": "UseKeyThroughS3",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": key_arn,
        "Condition": {"StringEquals": {"kms:ViaService": f"s3.{identity.region}.{identity.dns_suffix}"}},
    }


def sign_with(key_arn: str) -> Statement:
    """Sign manifests and channels with one key. Anybody who verifies needs its public half only, and no right.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
    """
    return {"Sid": "SignModels", "Effect": "Allow", "Action": ["kms:GetPublicKey", "kms:Sign"], "Resource": key_arn}


def certificate_trust(trust_anchor_arn: str, subjects: Sequence[str]) -> str:
    """Trust policy: Roles Anywhere may take the role for these common names, certified below this one trust anchor.

    Without both conditions, any certificate of any trust anchor in the account would do:
    https://docs.aws.amazon.com/rolesanywhere/latest/userguide/trust-model.html
    """
    return policies.document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "rolesanywhere.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"],
            "Condition": {
                "StringEquals": {"aws:PrincipalTag/x509Subject/CN": list(subjects)},
                "ArnEquals": {"aws:SourceArn": trust_anchor_arn},
            },
        }
    )


def data_sync_trust(identity: Identity) -> str:
    """Trust policy of the role that DataSync writes with: only for tasks and locations of this account and region.

    https://docs.aws.amazon.com/datasync/latest/userguide/cross-service-confused-deputy-prevention.html
    """
    return policies.assumed_by(
        "datasync.amazonaws.com",
        {
            "StringEquals": {"aws:SourceAccount": identity.account_id},
            "ArnLike": {"aws:SourceArn": identity.arn("datasync", "*")},
        },
    )


def data_sync_rights(identity: Identity, *, bucket_arn: str, key_arn: str, prefix: str) -> str:
    """What DataSync may do: fill one version's prefix. The actions are those that it asks for of a destination.

    https://docs.aws.amazon.com/datasync/latest/userguide/create-s3-location.html
    """
    return policies.document(
        {
            "Sid": "SeeBucket",
            "Effect": "Allow",
            "Action": ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
            "Resource": bucket_arn,
        },
        {
            "Sid": "FillOneVersion",
            "Effect": "Allow",
            "Action": [
                "s3:AbortMultipartUpload",
                "s3:DeleteObject",
                "s3:GetObject",
                "s3:GetObjectTagging",
                "s3:GetObjectVersion",
                "s3:GetObjectVersionTagging",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
                "s3:PutObjectTagging",
            ],
            "Resource": f"{bucket_arn}/{prefix}*",
        },
        use_key_through_s3(identity, key_arn),
    )
