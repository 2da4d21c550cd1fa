"""Policy documents of nodes as pure functions: what the role of an engine or a gateway may do, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from components import policies, site_policies
from components.identity import Identity
from components.policies import Statement

NODE_TRUST = policies.assumed_by("ec2.amazonaws.com")
"""EC2's service principal has the same name in every partition."""


def node_rights(
    identity: Identity,
    *,
    bucket_arn: str,
    key_arn: str,
    model: str,
    image: str,
    group_name: str,
    log_group_arn: str,
    patch_buckets: Sequence[str],
) -> str:
    """Rights of a fleet's nodes, as JSON.

    Read the fleet's own model, its channel and the signed bundles; pull the engine's own image; write to the fleet's
    own log group; be reached by Session Manager and scanned for missing patches; end the launching lifecycle action of
    the fleet's own group.
    """
    return policies.document(
        {
            "Sid": "ReadModels",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [
                f"{bucket_arn}/models/{model}/*",
                f"{bucket_arn}/channels/{model}/*",
                f"{bucket_arn}/bundles/*",
            ],
        },
        {
            # The node compares the version in the bucket with its signed manifest: a file too many is refused.
            "Sid": "ListOwnModel",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket_arn,
            "Condition": {"StringLike": {"s3:prefix": f"models/{model}/*"}},
        },
        {**site_policies.use_key_through_s3(identity, key_arn), "Sid": "DecryptModels", "Action": "kms:Decrypt"},
        *runs_image_and_logs(identity, image=image, log_group_arn=log_group_arn),
        *is_scanned(identity, patch_buckets),
        {
            "Sid": "EndOwnLaunch",
            "Effect": "Allow",
            "Action": "autoscaling:CompleteLifecycleAction",
            "Resource": identity.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{group_name}"),
        },
    )


def gateway_rights(
    identity: Identity,
    *,
    bucket_arn: str,
    key_arn: str,
    image: str,
    log_group_arn: str,
    archive_bucket_arn: str,
    archive_key_arn: str,
    patch_buckets: Sequence[str],
) -> str:
    """Rights of a gateway in the cloud, as JSON.

    Read the signed bundles; pull Envoy's image; write to its own log group; be reached by Session Manager and scanned
    for missing patches; ship its request log into the archive as `cloud-…`, a name of its own for each node.
    """
    return policies.document(
        {"Sid": "ReadBundles", "Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{bucket_arn}/bundles/*"},
        {**site_policies.use_key_through_s3(identity, key_arn), "Sid": "DecryptBundles", "Action": "kms:Decrypt"},
        *runs_image_and_logs(identity, image=image, log_group_arn=log_group_arn),
        *is_scanned(identity, patch_buckets),
        *site_policies.request_log_rights(
            identity, bucket_arn=archive_bucket_arn, key_arn=archive_key_arn, gateways=["cloud-*"]
        ),
    )


def runs_image_and_logs(identity: Identity, *, image: str, log_group_arn: str) -> tuple[Statement, ...]:
    """What every node needs: its image from ECR, its own log group, Session Manager."""
    return (
        {
            "Sid": "PullImage",
            "Effect": "Allow",
            "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": identity.arn("ecr", f"repository/{repository(image)}"),
        },
        {
            # Takes no resource: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
            "Sid": "LogInToRegistry",
            "Effect": "Allow",
            "Action": "ecr:GetAuthorizationToken",
            "Resource": "*",
        },
        {
            "Sid": "WriteOwnLogs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            "Resource": [log_group_arn, f"{log_group_arn}:*"],
        },
        {
            # What Session Manager needs. The managed AmazonSSMManagedInstanceCore would also read every parameter of
            # the account. These actions take no resource:
            # https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-create-iam-instance-profile.html
            "Sid": "SessionManager",
            "Effect": "Allow",
            "Action": [
                "ssm:UpdateInstanceInformation",
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
            ],
            "Resource": "*",
        },
    )


def is_scanned(identity: Identity, patch_buckets: Sequence[str]) -> tuple[Statement, ...]:
    """What `AWS-RunPatchBaseline` needs on a node: its baseline, the scripts, and where the result goes.

    https://docs.aws.amazon.com/systems-manager/latest/userguide/patch-operations-s3-buckets.html
    """
    return (
        {
            "Sid": "ReadPatchScripts",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [f"arn:{identity.partition}:s3:::{bucket}/*" for bucket in patch_buckets],
        },
        {
            # A node's own id is not known when its role is made; AmazonSSMManagedInstanceCore grants them so, too.
            "Sid": "TellMissingPatches",
            "Effect": "Allow",
            "Action": ["ssm:GetDeployablePatchSnapshotForInstance", "ssm:PutComplianceItems", "ssm:PutInventory"],
            "Resource": "*",
        },
    )


def repository(image: str) -> str:
    """The ECR repository of an image `repository:tag` or `repository@digest`."""
    return image.partition("@")[0].rpartition(":")[0] or image.partition("@")[0]
