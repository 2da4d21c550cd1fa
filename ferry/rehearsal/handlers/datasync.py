"""DataSync: locations and tasks. moto keeps them, and moves nothing when a task is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Absent, Account, Created, Inputs, State, creates, deleted_by, reads, updates

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


@creates("aws:datasync/nfsLocation:NfsLocation", fixed=("serverHostname",))
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


@creates("aws:datasync/s3Location:S3Location", fixed=("s3BucketArn", "s3Config", "s3StorageClass", "subdirectory"))
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


@creates("aws:datasync/task:Task", fixed=("sourceLocationArn", "destinationLocationArn"))
def task(account: Account, inputs: Inputs) -> Created:
    """From one location to another, with options."""
    made = account.client("datasync", inputs.region).create_task(
        Name=inputs.autoname("name", 256),
        SourceLocationArn=inputs.take("sourceLocationArn"),
        DestinationLocationArn=inputs.take("destinationLocationArn"),
        Options=_options(inputs),
        Tags=inputs.tags(),
    )
    return Created(made["TaskArn"], {"arn": made["TaskArn"]})


def _options(inputs: Inputs) -> dict[str, Any]:
    given = inputs.nested("options")
    taken = {sent: given.take(name) if given else None for name, sent in OPTIONS.items()}
    return {sent: value for sent, value in taken.items() if value is not None}


for kind in ("nfsLocation:NfsLocation", "s3Location:S3Location"):
    deleted_by(f"aws:datasync/{kind}", "datasync", "delete_location", LocationArn="id")
deleted_by("aws:datasync/task:Task", "datasync", "delete_task", TaskArn="id")


@updates("aws:datasync/task:Task", "options", "name")
def task_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`UpdateTask`."""
    account.client("datasync", old.region).update_task(
        TaskArn=old.id, Name=new.autoname("name", 256), Options=_options(new)
    )
    return {}


@reads("aws:datasync/nfsLocation:NfsLocation")
def read_nfs_location(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeLocationNfs`: the agents. Host and path are one URI there, and cannot change."""
    found = account.client("datasync", state.region).describe_location_nfs(LocationArn=state.id)
    return {"onPremConfig": {"agentArns": found["OnPremConfig"]["AgentArns"]}}


@reads("aws:datasync/s3Location:S3Location")
def read_s3_location(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeLocationS3`: the role. Bucket and prefix are one URI there, and cannot change."""
    found = account.client("datasync", state.region).describe_location_s3(LocationArn=state.id)
    return {"s3Config": {"bucketAccessRoleArn": found["S3Config"]["BucketAccessRoleArn"]}}


@reads("aws:datasync/task:Task")
def read_task(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeTask`."""
    datasync = account.client("datasync", state.region)
    if state.id not in {task["TaskArn"] for task in datasync.list_tasks()["Tasks"]}:
        raise Absent
    found = datasync.describe_task(TaskArn=state.id)
    options = found.get("Options", {})
    return {
        "name": found["Name"],
        "sourceLocationArn": found["SourceLocationArn"],
        "destinationLocationArn": found["DestinationLocationArn"],
        "options": {given: options.get(sent) for given, sent in OPTIONS.items()},
    }
