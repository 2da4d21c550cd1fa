"""ModelRepository: the bucket that holds the models, the channels, and the bundle that nodes boot from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_aws as aws

from components import policies
from components.identity import Identity
from components.private_bucket import PrivateBucket, PrivateBucketArgs, lifecycle_rule
from stacks.settings import ModelRepositorySettings


@dataclass(frozen=True, kw_only=True)
class ModelRepositoryArgs:
    """Arguments of `ModelRepository`."""

    identity: Identity
    repository: ModelRepositorySettings
    node_bundle: Path | None
    """The bundle that nodes boot from; its signature lies beside it as `<path>.sig`."""
    gateway_bundle: Path | None = None
    """Likewise, for the gateway that runs in the cloud."""
    protect: bool
    """Refuse to delete buckets and keys. False lets them be destroyed with the models in them."""
    access_log_bucket: pulumi.Input[str]
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Replica:
    """The repository's copy in the second region."""

    bucket_name: pulumi.Output[str]
    bucket_arn: pulumi.Output[str]
    key_arn: pulumi.Output[str]
    node_bundle_key: pulumi.Output[str] | None
    """As the repository's own."""


class ModelRepository(pulumi.ComponentResource):
    """A versioned bucket under a KMS key of its own, and its replica in a second region where the stack asks for one.

    Layout: `models/<name>/<version>/…`, `channels/<name>/…`, `bundles/<first 16 hex of sha256>/<file>`.
    Nodes read; whoever pushes writes below one model's prefixes (`site_policies.pusher_rights`); pruning puts delete
    markers, and only the lifecycle deletes. Objects have no minimum age in a policy, since S3 has no condition on one;
    `governance_lock_days` is S3's own way to it.
    The replica has no S3 access logs (they cannot leave their region); the trail's data events cover both buckets.
    """

    bucket_name: pulumi.Output[str]
    bucket_arn: pulumi.Output[str]
    key_arn: pulumi.Output[str]
    node_bundle_key: pulumi.Output[str] | None
    """S3 key of the bundle, given out after the bundle and its signature are there; None without a bundle."""
    gateway_bundle_key: pulumi.Output[str] | None
    """Likewise, of the gateway's bundle."""
    replica: Replica | None
    bucket_arns: list[pulumi.Output[str]]
    """Of the repository, and of its replica where there is one."""

    def __init__(self, name: str, args: ModelRepositoryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:ModelRepository", name, None, opts)
        self._prefix, self._args = name, args

        key, bucket = self._make_bucket(name, args.identity.region, args.access_log_bucket)
        self.bucket_name, self.bucket_arn, self.key_arn = bucket.bucket_name, bucket.bucket_arn, key.arn
        self.node_bundle_key = self._upload(args.node_bundle, "node-bundle", bucket)
        self.gateway_bundle_key = self._upload(args.gateway_bundle, "gateway-bundle", bucket)
        self.replica, self.bucket_arns = None, [bucket.bucket_arn]
        if args.repository.replica_region is not None:
            self._replicate(key, bucket, args.identity.within(args.repository.replica_region))

        self.register_outputs(
            {
                "bucket_name": self.bucket_name,
                "bucket_arn": self.bucket_arn,
                "key_arn": self.key_arn,
                "node_bundle_key": self.node_bundle_key,
                "gateway_bundle_key": self.gateway_bundle_key,
                "replica_bucket_name": self.replica and self.replica.bucket_name,
            }
        )

    def _make_bucket(
        self, name: str, region: str, access_log_bucket: pulumi.Input[str] | None
    ) -> tuple[aws.kms.Key, PrivateBucket]:
        args, repository = self._args, self._args.repository
        key = aws.kms.Key(
            f"{name}-key",
            region=region,
            description=f"Models in {region}",
            enable_key_rotation=True,
            policy=policies.account_key(args.identity),
            tags={**args.tags, "Name": name},
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        bucket = PrivateBucket(
            name,
            PrivateBucketArgs(
                policy=policies.model_bucket,
                region=region,
                kms_key_arn=key.arn,
                access_log_bucket=access_log_bucket,
                lifecycle_rules=[
                    lifecycle_rule(
                        "old-versions",
                        abort_multipart_days=repository.abort_multipart_days,
                        noncurrent_transitions={"GLACIER_IR": repository.noncurrent_to_glacier_ir_days},
                        noncurrent_expiration_days=repository.noncurrent_expiration_days,
                        # What `ferry models prune` marked: the marker goes when its last version has gone.
                        expired_delete_markers=True,
                    )
                ],
                locked_days=repository.governance_lock_days,
                lock_mode="GOVERNANCE",
                protect=args.protect,
                tags=args.tags,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return key, bucket

    def _upload(
        self, bundle: Path | None, name: str, bucket: PrivateBucket, region: str | None = None
    ) -> pulumi.Output[str] | None:
        if bundle is None:
            return None
        key = bundle_key(bundle)
        # Launch-template versions that still name an older bundle have to find it: old ones stay.
        opts = pulumi.ResourceOptions(parent=self, depends_on=[bucket], retain_on_delete=True)
        uploaded = [
            aws.s3.BucketObjectv2(
                f"{self._prefix}-{what}",
                region=region,
                bucket=bucket.bucket_name,
                key=key + suffix,
                source=pulumi.FileAsset(f"{bundle}{suffix}"),
                tags=dict(self._args.tags),
                opts=opts,
            )
            for what, suffix in ((name, ""), (f"{name}-signature", ".sig"))
        ]
        return pulumi.Output.all(*(one.key for one in uploaded)).apply(lambda keys: str(keys[0]))

    def _replicate(self, key: aws.kms.Key, bucket: PrivateBucket, identity: Identity) -> None:
        name, args = self._prefix, self._args
        replica_key, replica = self._make_bucket(f"{name}-replica", identity.region, None)
        self.replica = Replica(
            bucket_name=replica.bucket_name,
            bucket_arn=replica.bucket_arn,
            key_arn=replica_key.arn,
            # Put there as well: S3 replicates what is put after the replication was set up, and that later than it is
            # put, while the nodes there boot from it.
            node_bundle_key=self._upload(args.node_bundle, "replica-node-bundle", replica, identity.region),
        )
        self.bucket_arns.append(replica.bucket_arn)
        role = aws.iam.Role(
            f"{name}-replication",
            assume_role_policy=bucket.bucket_arn.apply(lambda arn: policies.replication_trust(args.identity, arn)),
            tags={**args.tags, "Name": f"{name}-replication"},
            opts=pulumi.ResourceOptions(parent=self),
        )
        rights = aws.iam.RolePolicy(
            f"{name}-replication",
            role=role.name,
            policy=pulumi.Output.all(bucket.bucket_arn, key.arn, replica.bucket_arn, replica_key.arn).apply(
                lambda arns: policies.replication(args.identity, identity, *arns)
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.s3.BucketReplicationConfig(
            f"{name}-replication",
            bucket=bucket.bucket_name,
            role=role.arn,
            rules=[
                {
                    "id": "all",
                    "status": "Enabled",
                    "priority": 1,
                    "filter": {"prefix": ""},
                    "delete_marker_replication": {"status": "Enabled"},
                    "source_selection_criteria": {"sse_kms_encrypted_objects": {"status": "Enabled"}},
                    "destination": {
                        "bucket": replica.bucket_arn,
                        "encryption_configuration": {"replica_kms_key_id": replica_key.arn},
                    },
                }
            ],
            # Both sides have to be versioned before.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[bucket, replica, rights]),
        )


def bundle_key(bundle: Path) -> str:
    """S3 key of a bundle: it follows from the content, so that a changed bundle never replaces another.

    Raises FileNotFoundError when the bundle or its signature is missing.
    """
    for path in (bundle, Path(f"{bundle}.sig")):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: `ferry render` makes it")
    with bundle.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"bundles/{digest[:16]}/{bundle.name}"
