"""AuditArchive: the trail of who did what, kept where nobody can delete it, watched by alarms of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import policies, trail_events
from components.identity import Identity
from components.private_bucket import PrivateBucket, PrivateBucketArgs, lifecycle_rule
from stacks.settings import AuditSettings


@dataclass(frozen=True, kw_only=True)
class AuditArchiveArgs:
    """Arguments of `AuditArchive`."""

    identity: Identity
    environment: str
    """Names the trail: its policies have to know its ARN before it exists."""
    audit: AuditSettings
    model_bucket_arns: Sequence[pulumi.Input[str]]
    """Buckets whose objects the trail records every read and write of."""
    alarm_topic_arn: pulumi.Input[str]
    access_log_bucket: pulumi.Input[str]
    tags: Mapping[str, str]


class AuditArchive(pulumi.ComponentResource):
    """A multi-region trail that delivers to a locked bucket, under a key of its own. Below `requests/`, it keeps the
    gateways' request log (`ferry audit ship`).

    `disposable` leaves the lock and the protection out, so that the stack can be destroyed with everything in it.
    """

    archive_bucket: pulumi.Output[str]
    archive_bucket_arn: pulumi.Output[str]
    key_arn: pulumi.Output[str]
    trail_arn: pulumi.Output[str]

    def __init__(self, name: str, args: AuditArchiveArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:AuditArchive", name, None, opts)
        identity, audit = args.identity, args.audit
        locked = audit.mode == "COMPLIANCE"
        trail_name = f"ferry-{args.environment}"
        trail_arn = identity.arn("cloudtrail", f"trail/{trail_name}")

        key = aws.kms.Key(
            f"{name}-key",
            description="Audit archive",
            enable_key_rotation=True,
            policy=policies.trail_key(identity, trail_arn),
            tags={**args.tags, "Name": name},
            opts=pulumi.ResourceOptions(parent=self, protect=locked),
        )
        bucket = PrivateBucket(
            name,
            PrivateBucketArgs(
                policy=lambda arn: policies.cloudtrail_bucket(identity, arn, trail_arn),
                kms_key_arn=key.arn,
                access_log_bucket=args.access_log_bucket,
                lifecycle_rules=[
                    lifecycle_rule(
                        "archive",
                        transitions={"GLACIER": audit.glacier_days, "DEEP_ARCHIVE": audit.deep_archive_days},
                    )
                ],
                locked_days=audit.retention_days if locked else None,
                protect=locked,
                tags=args.tags,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        trail = aws.cloudtrail.Trail(
            f"{name}-trail",
            name=trail_name,
            s3_bucket_name=bucket.bucket_name,
            kms_key_id=key.arn,
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            enable_logging=True,
            event_selectors=[
                {
                    "read_write_type": "All",
                    "include_management_events": True,
                    "data_resources": [
                        {
                            "type": "AWS::S3::Object",
                            "values": [pulumi.Output.concat(arn, "/") for arn in args.model_bucket_arns],
                        }
                    ],
                }
            ],
            tags={**args.tags, "Name": trail_name},
            # Not a file before the lock holds.
            opts=pulumi.ResourceOptions(parent=self, protect=locked, depends_on=[bucket]),
        )
        self.archive_bucket, self.archive_bucket_arn = bucket.bucket_name, bucket.bucket_arn
        self.key_arn, self.trail_arn = key.arn, trail.arn
        self._raise_alarms(name, args, trail_name, trail_arn)

        self.register_outputs(
            {
                "archive_bucket": self.archive_bucket,
                "archive_bucket_arn": self.archive_bucket_arn,
                "key_arn": self.key_arn,
                "trail_arn": self.trail_arn,
            }
        )

    def _raise_alarms(self, name: str, args: AuditArchiveArgs, trail_name: str, trail_arn: str) -> None:
        """One rule for each thing that could be weakened; the alarms themselves are among them."""
        rule_prefix = f"{name}-weakened-"
        patterns: dict[str, tuple[str, pulumi.Input[str]]] = {
            "trail": ("the trail", json.dumps(trail_events.trail_changes(trail_name, trail_arn))),
            "bucket": (
                "the archive's bucket",
                self.archive_bucket.apply(lambda bucket: json.dumps(trail_events.bucket_changes(bucket))),
            ),
            "key": ("the archive's key", self.key_arn.apply(lambda arn: json.dumps(trail_events.key_changes(arn)))),
            "alarm": ("these alarms", json.dumps(trail_events.rule_changes(rule_prefix))),
        }
        for what, (words, pattern) in patterns.items():
            rule = aws.cloudwatch.EventRule(
                f"{rule_prefix}{what}",
                description=f"Someone stops or changes {words}",
                event_pattern=pattern,
                state="ENABLED",
                tags={**args.tags, "Name": f"{rule_prefix}{what}"},
                opts=pulumi.ResourceOptions(parent=self),
            )
            aws.cloudwatch.EventTarget(
                f"{rule_prefix}{what}",
                rule=rule.name,
                arn=args.alarm_topic_arn,
                input_transformer={
                    "input_paths": {
                        "call": "$.detail.eventName",
                        "who": "$.detail.userIdentity.arn",
                        "from": "$.detail.sourceIPAddress",
                        "region": "$.region",
                        "time": "$.time",
                    },
                    "input_template": f'"<who> called <call> on {words} from <from> in <region> at <time>"',
                },
                opts=pulumi.ResourceOptions(parent=self),
            )
