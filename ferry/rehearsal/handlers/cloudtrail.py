"""CloudTrail trails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, State, creates, deleted_by, reads, updates
from ferry.rehearsal.handlers.tagging import as_map


@creates("aws:cloudtrail/trail:Trail", fixed=("name",))
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
    if selectors := _selectors(inputs):
        cloudtrail.put_event_selectors(TrailName=name, EventSelectors=selectors)
    if inputs.take("enableLogging", True):
        cloudtrail.start_logging(Name=name)
    return Created(name, {"arn": made["TrailARN"], "homeRegion": region, "name": name})


def _selectors(inputs: Inputs) -> list[dict[str, Any]]:
    return [
        {
            "ReadWriteType": selector.take("readWriteType", "All"),
            "IncludeManagementEvents": selector.take("includeManagementEvents", True),
            "DataResources": [
                {"Type": resource.take("type"), "Values": resource.take("values")}
                for resource in selector.each("dataResources")
            ],
        }
        for selector in inputs.each("eventSelectors")
    ]


SETTINGS = {
    "s3BucketName": "S3BucketName",
    "isMultiRegionTrail": "IsMultiRegionTrail",
    "includeGlobalServiceEvents": "IncludeGlobalServiceEvents",
    "enableLogFileValidation": "EnableLogFileValidation",
    "kmsKeyId": "KmsKeyId",
}
"""Properties that `UpdateTrail` takes as they are."""


@updates("aws:cloudtrail/trail:Trail", *SETTINGS, "eventSelectors", "enableLogging")
def trail_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`UpdateTrail`, then the selectors, then on or off."""
    cloudtrail = account.client("cloudtrail", old.region)
    sent = {name: value for given, name in SETTINGS.items() if (value := new.take(given)) is not None}
    cloudtrail.update_trail(Name=old.id, **sent)
    cloudtrail.put_event_selectors(TrailName=old.id, EventSelectors=_selectors(new))
    (cloudtrail.start_logging if new.take("enableLogging", True) else cloudtrail.stop_logging)(Name=old.id)
    return {}


@reads("aws:cloudtrail/trail:Trail")
def read_trail(account: Account, state: State) -> Mapping[str, Any]:
    """`GetTrail`, its status, its selectors, its tags."""
    cloudtrail = account.client("cloudtrail", state.region)
    found = cloudtrail.get_trail(Name=state.id)["Trail"]
    selectors = cloudtrail.get_event_selectors(TrailName=state.id).get("EventSelectors", [])
    tags = cloudtrail.list_tags(ResourceIdList=[found["TrailARN"]])["ResourceTagList"]
    return {
        "name": found["Name"],
        "s3BucketName": found["S3BucketName"],
        "isMultiRegionTrail": found["IsMultiRegionTrail"],
        "includeGlobalServiceEvents": found["IncludeGlobalServiceEvents"],
        "enableLogFileValidation": found["LogFileValidationEnabled"],
        "kmsKeyId": found.get("KmsKeyId"),
        "enableLogging": cloudtrail.get_trail_status(Name=state.id)["IsLogging"],
        "tags": as_map(tags[0]["TagsList"]) if tags else {},
        "eventSelectors": [
            {
                "readWriteType": one["ReadWriteType"],
                "includeManagementEvents": one["IncludeManagementEvents"],
                "dataResources": [
                    {"type": resource["Type"], "values": resource["Values"]} for resource in one["DataResources"]
                ],
            }
            for one in selectors
        ],
    }


deleted_by("aws:cloudtrail/trail:Trail", "cloudtrail", "delete_trail", Name="id")
