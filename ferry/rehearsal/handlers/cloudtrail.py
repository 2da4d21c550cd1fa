"""CloudTrail trails."""

from __future__ import annotations

from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, creates


@creates("aws:cloudtrail/trail:Trail")
def trail(account: Account, inputs: Inputs) -> Created:
    """A trail: made, told what to record, then started. moto writes no log files."""
    region = inputs.region or account.region
    cloudtrail = account.client("cloudtrail", region)
    name = inputs.autoname("name", 128)
    request: dict[str, Any] = {
        "Name": name,
        "S3BucketName": inputs.take("s3BucketName"),
        "IsMultiRegionTrail": inputs.take("isMultiRegionTrail", False),
        "IncludeGlobalServiceEvents": inputs.take("includeGlobalServiceEvents", True),
        "EnableLogFileValidation": inputs.take("enableLogFileValidation", False),
        "TagsList": inputs.tags(),
    }
    if key := inputs.take("kmsKeyId"):
        request["KmsKeyId"] = key
    made = cloudtrail.create_trail(**request)
    if selectors := inputs.each("eventSelectors"):
        cloudtrail.put_event_selectors(
            TrailName=name,
            EventSelectors=[
                {
                    "ReadWriteType": selector.take("readWriteType", "All"),
                    "IncludeManagementEvents": selector.take("includeManagementEvents", True),
                    "DataResources": [
                        {"Type": resource.take("type"), "Values": resource.take("values")}
                        for resource in selector.each("dataResources")
                    ],
                }
                for selector in selectors
            ],
        )
    if inputs.take("enableLogging", True):
        cloudtrail.start_logging(Name=name)
    return Created(name, {"arn": made["TrailARN"], "homeRegion": region, "name": name})
