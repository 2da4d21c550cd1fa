"""DataSync: locations and tasks. moto keeps them, and moves nothing when a task is started."""

from __future__ import annotations

from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, creates

OPTIONS = {
    "bytesPerSecond": "BytesPerSecond",
    "gid": "Gid",
    "overwriteMode": "OverwriteMode",
    "posixPermissions": "PosixPermissions",
    "preserveDeletedFiles": "PreserveDeletedFiles",
    "uid": "Uid",
    "verifyMode": "VerifyMode",
}
"""Pulumi's names of a task's options to DataSync's."""


@creates("aws:datasync/nfsLocation:NfsLocation")
def nfs_location(account: Account, inputs: Inputs) -> Created:
    """The export at home. The agents behind it are named, and looked up by nobody here."""
    reached = inputs.nested("onPremConfig")
    made = account.client("datasync", inputs.region).create_location_nfs(
        ServerHostname=inputs.take("serverHostname"),
        Subdirectory=inputs.take("subdirectory"),
        OnPremConfig={"AgentArns": reached.take("agentArns") if reached else []},
    )
    inputs.skip("tags", "moto 5.2.5 keeps no tags of locations")
    return Created(made["LocationArn"], {"arn": made["LocationArn"]})


@creates("aws:datasync/s3Location:S3Location")
def s3_location(account: Account, inputs: Inputs) -> Created:
    """A prefix of a bucket, and the role to use it with. AWS tries the role at once, moto does not."""
    config = inputs.nested("s3Config")
    made = account.client("datasync", inputs.region).create_location_s3(
        S3BucketArn=inputs.take("s3BucketArn"),
        Subdirectory=inputs.take("subdirectory"),
        S3Config={"BucketAccessRoleArn": config.take("bucketAccessRoleArn") if config else ""},
    )
    inputs.skip("tags", "moto 5.2.5 keeps no tags of locations")
    return Created(made["LocationArn"], {"arn": made["LocationArn"]})


@creates("aws:datasync/task:Task")
def task(account: Account, inputs: Inputs) -> Created:
    """From one location to another, with options."""
    options: dict[str, Any] = {}
    if given := inputs.nested("options"):
        taken = {sent: given.take(name) for name, sent in OPTIONS.items()}
        options = {sent: value for sent, value in taken.items() if value is not None}
    made = account.client("datasync", inputs.region).create_task(
        Name=inputs.autoname("name", 256),
        SourceLocationArn=inputs.take("sourceLocationArn"),
        DestinationLocationArn=inputs.take("destinationLocationArn"),
        Options=options,
        Tags=inputs.tags(),
    )
    return Created(made["TaskArn"], {"arn": made["TaskArn"]})
