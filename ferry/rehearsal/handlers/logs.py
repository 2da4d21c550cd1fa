"""CloudWatch log groups."""

from __future__ import annotations

from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, creates


@creates("aws:cloudwatch/logGroup:LogGroup")
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
