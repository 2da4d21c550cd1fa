"""DataSync: a managed copy of one model's folder, from an NFS export at home into the model repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import site_policies
from components.identity import Identity
from stacks.settings import DataSyncSettings

BITS_PER_MEGABIT = 1_000_000


@dataclass(frozen=True, kw_only=True)
class DataSyncArgs:
    """Arguments of `DataSync`."""

    identity: Identity
    data_sync: DataSyncSettings
    bucket_arn: pulumi.Input[str]
    """Of the model repository."""
    key_arn: pulumi.Input[str]
    tags: Mapping[str, str]


class DataSync(pulumi.ComponentResource):
    """Source location (agent and NFS), destination location (S3, with a role of its own), and the task between them.

    The agent is a virtual machine at home that is activated by hand, once; it uses the site's one uplink. The task is
    not started by `pulumi up`. What it copies is not served before `ferry models push` has signed it: that finds the
    bytes in place and adds the manifest.
    """

    task_arn: pulumi.Output[str]

    def __init__(self, name: str, args: DataSyncArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:DataSync", name, None, opts)
        wanted, child, tags = args.data_sync, pulumi.ResourceOptions(parent=self), {**args.tags, "Name": name}
        prefix = f"models/{wanted.model}/{wanted.version}/"

        role = aws.iam.Role(
            name,
            description=f"DataSync fills {prefix}",
            assume_role_policy=site_policies.data_sync_trust(args.identity),
            tags=tags,
            opts=child,
        )
        rights = aws.iam.RolePolicy(
            name,
            role=role.name,
            policy=pulumi.Output.all(bucket_arn=args.bucket_arn, key_arn=args.key_arn).apply(
                lambda known: site_policies.data_sync_rights(args.identity, prefix=prefix, **known)
            ),
            opts=child,
        )
        source = aws.datasync.NfsLocation(
            f"{name}-home",
            server_hostname=wanted.nfs_server,
            subdirectory=wanted.nfs_path,
            on_prem_config={"agent_arns": wanted.agent_arns},
            tags=tags,
            opts=child,
        )
        destination = aws.datasync.S3Location(
            f"{name}-models",
            s3_bucket_arn=args.bucket_arn,
            subdirectory=f"/{prefix}",
            s3_config={"bucket_access_role_arn": role.arn},
            tags=tags,
            # DataSync tries the role when the location is made.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[rights]),
        )
        task = aws.datasync.Task(
            name,
            source_location_arn=source.arn,
            destination_location_arn=destination.arn,
            options=task_options(wanted.limit_mbps),
            tags=tags,
            opts=child,
        )
        self.task_arn = task.arn
        self.register_outputs({"task_arn": self.task_arn})


def task_options(limit_mbps: int | None) -> aws.datasync.TaskOptionsArgsDict:
    """How the task copies: what it has sent is verified, nothing in the bucket is overwritten or deleted.

    https://docs.aws.amazon.com/datasync/latest/userguide/configure-data-verification-options.html
    """
    return {
        "verify_mode": "ONLY_FILES_TRANSFERRED",  # AWS's own choice for S3
        "overwrite_mode": "NEVER",  # a version never changes
        "preserve_deleted_files": "PRESERVE",
        # Owners and modes of the site's files mean nothing in the bucket.
        "uid": "NONE",
        "gid": "NONE",
        "posix_permissions": "NONE",
        "bytes_per_second": -1 if limit_mbps is None else limit_mbps * BITS_PER_MEGABIT // 8,
    }
