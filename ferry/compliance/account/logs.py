"""Keys, topics, log groups, trails, alarms, and the rules that watch a trail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ferry.compliance.account.calls import Account
from ferry.compliance.resource import Resource


def read(account: Account) -> Iterator[Resource]:
    """What encrypts, records and tells."""
    yield from _keys(account)
    yield from _topics(account)
    yield from _log_groups(account)
    yield from _trails(account)
    yield from _alarms(account)
    yield from _event_rules(account)


def _keys(account: Account) -> Iterator[Resource]:
    kms = account.of("kms")
    for listed in account.pages("kms", "list_keys", "Keys"):
        key = kms.describe_key(KeyId=listed["KeyId"])["KeyMetadata"]
        if key["KeyManager"] != "CUSTOMER" or key["KeyState"] == "PendingDeletion":
            continue
        tags = kms.list_resource_tags(KeyId=listed["KeyId"])["Tags"]
        if account.owns(tags):
            properties = {
                "enableKeyRotation": kms.get_key_rotation_status(KeyId=listed["KeyId"])["KeyRotationEnabled"],
                "policy": kms.get_key_policy(KeyId=listed["KeyId"], PolicyName="default")["Policy"],
                "tags": account.tags(tags),
            }
            yield Resource("aws:kms/key:Key", listed["KeyId"], properties, id=listed["KeyId"])


def _topics(account: Account) -> Iterator[Resource]:
    sns = account.of("sns")
    for listed in account.pages("sns", "list_topics", "Topics"):
        arn = listed["TopicArn"]
        tags = sns.list_tags_for_resource(ResourceArn=arn)["Tags"]
        if not account.owns(tags):
            continue
        name, set_ = arn.rpartition(":")[2], sns.get_topic_attributes(TopicArn=arn)["Attributes"]
        properties = {"kmsMasterKeyId": set_.get("KmsMasterKeyId"), "tags": account.tags(tags)}
        yield Resource("aws:sns/topic:Topic", name, properties, id=arn)
        yield Resource("aws:sns/topicPolicy:TopicPolicy", name, {"arn": arn, "policy": set_["Policy"]})
        for one in sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]:
            # Whoever has not confirmed hears nothing.
            if one["SubscriptionArn"] != "PendingConfirmation":
                yield Resource("aws:sns/topicSubscription:TopicSubscription", one["SubscriptionArn"], {"topic": arn})


def _log_groups(account: Account) -> Iterator[Resource]:
    logs = account.of("logs")
    for group in account.pages("logs", "describe_log_groups", "logGroups"):
        tags = logs.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"]
        if account.owns(tags):
            properties = {
                "kmsKeyId": group.get("kmsKeyId"),
                "retentionInDays": group.get("retentionInDays", 0),
                "tags": tags,
            }
            yield Resource("aws:cloudwatch/logGroup:LogGroup", group["logGroupName"], properties)


def _trails(account: Account) -> Iterator[Resource]:
    cloudtrail = account.of("cloudtrail")
    for trail in cloudtrail.describe_trails(includeShadowTrails=False)["trailList"]:
        arn = trail["TrailARN"]
        tags = cloudtrail.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"]
        if not account.owns(tags):
            continue
        selectors: list[dict[str, Any]] = [
            {
                "readWriteType": one["ReadWriteType"],
                "includeManagementEvents": one["IncludeManagementEvents"],
                "dataResources": [
                    {"type": data["Type"], "values": data["Values"]} for data in one.get("DataResources", [])
                ],
            }
            for one in cloudtrail.get_event_selectors(TrailName=arn).get("EventSelectors", [])
        ]
        yield Resource(
            "aws:cloudtrail/trail:Trail",
            trail["Name"],
            {
                "s3BucketName": trail["S3BucketName"],
                "kmsKeyId": trail.get("KmsKeyId"),
                "isMultiRegionTrail": trail["IsMultiRegionTrail"],
                "includeGlobalServiceEvents": trail["IncludeGlobalServiceEvents"],
                "enableLogFileValidation": trail["LogFileValidationEnabled"],
                "enableLogging": cloudtrail.get_trail_status(Name=arn)["IsLogging"],
                "eventSelectors": selectors,
                "tags": account.tags(tags),
            },
        )


def _alarms(account: Account) -> Iterator[Resource]:
    cloudwatch = account.of("cloudwatch")
    for alarm in account.pages("cloudwatch", "describe_alarms", "MetricAlarms"):
        tags = cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
        if account.owns(tags):
            actions = alarm["AlarmActions"] if alarm["ActionsEnabled"] else []
            properties = {"alarmActions": actions, "tags": account.tags(tags)}
            yield Resource("aws:cloudwatch/metricAlarm:MetricAlarm", alarm["AlarmName"], properties)


def _event_rules(account: Account) -> Iterator[Resource]:
    events = account.of("events")
    for rule in account.pages("events", "list_rules", "Rules"):
        tags = events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"]
        if not account.owns(tags):
            continue
        properties = {"state": rule["State"], "eventPattern": rule.get("EventPattern"), "tags": account.tags(tags)}
        yield Resource("aws:cloudwatch/eventRule:EventRule", rule["Name"], properties, id=rule["Name"])
        for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
            yield Resource(
                "aws:cloudwatch/eventTarget:EventTarget",
                f"{rule['Name']} {target['Id']}",
                {"rule": rule["Name"], "arn": target["Arn"]},
            )
