"""CloudWatch log groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, State, creates, deleted_by, first, reads, updates


@creates("aws:cloudwatch/logGroup:LogGroup", fixed=("name", "namePrefix", "logGroupClass"))
def log_group(account: Account, inputs: Inputs) -> Created:
    """A log group; its retention is set in a second call."""
    region = inputs.region
    logs = account.client("logs", region)
    name = inputs.autoname("name", 512)
    request: dict[str, Any] = {"logGroupName": name, "tags": inputs.take("tags", {})}
    if kms_key := inputs.take("kmsKeyId"):
        request["kmsKeyId"] = kms_key
    logs.create_log_group(**request)
    if days := inputs.take("retentionInDays"):
        logs.put_retention_policy(logGroupName=name, retentionInDays=int(days))
    arn = f"arn:{account.partition}:logs:{region or account.region}:{account.account_id}:log-group:{name}"
    return Created(name, {"arn": arn, "name": name})


@updates("aws:cloudwatch/logGroup:LogGroup", "retentionInDays")
def log_group_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`PutRetentionPolicy`, or `DeleteRetentionPolicy` for ever."""
    logs = account.client("logs", old.region)
    if days := new.take("retentionInDays"):
        logs.put_retention_policy(logGroupName=old.id, retentionInDays=int(days))
    else:
        logs.delete_retention_policy(logGroupName=old.id)
    return {}


@reads("aws:cloudwatch/logGroup:LogGroup")
def read_log_group(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeLogGroups` by prefix, and the one of exactly this name."""
    logs = account.client("logs", state.region)
    groups = logs.describe_log_groups(logGroupNamePrefix=state.id)["logGroups"]
    found = first(group for group in groups if group["logGroupName"] == state.id)
    return {
        "name": state.id,
        "retentionInDays": found.get("retentionInDays"),
        "kmsKeyId": found.get("kmsKeyId"),
        "tags": logs.list_tags_log_group(logGroupName=state.id)["tags"],
    }


deleted_by("aws:cloudwatch/logGroup:LogGroup", "logs", "delete_log_group", logGroupName="id")
