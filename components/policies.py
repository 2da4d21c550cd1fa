"""Policy documents as pure functions: who may do what with a bucket, a key, a role.

Every function returns JSON text. ARNs and service principals follow the partition of the `Identity`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from components.identity import Identity

Statement = dict[str, Any]

# Accounts that the load balancers of older regions write their access logs with. Regions opened since August 2022 use
# the service principal instead. https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html
# and, for the China regions, its counterpart on docs.amazonaws.cn.
ELB_ACCOUNTS = {
    "af-south-1": "098369216593",
    "ap-east-1": "754344448648",
    "ap-northeast-1": "582318560864",
    "ap-northeast-2": "600734575887",
    "ap-northeast-3": "383597477331",
    "ap-south-1": "718504428378",
    "ap-southeast-1": "114774131450",
    "ap-southeast-2": "783225319266",
    "ap-southeast-3": "589379963580",
    "ca-central-1": "985666609251",
    "cn-north-1": "638102146993",
    "cn-northwest-1": "037604701340",
    "eu-central-1": "054676820928",
    "eu-north-1": "897822967062",
    "eu-south-1": "635631232127",
    "eu-west-1": "156460612806",
    "eu-west-2": "652711504416",
    "eu-west-3": "009996457667",
    "me-south-1": "076674570225",
    "sa-east-1": "507241528517",
    "us-east-1": "127311923021",
    "us-east-2": "033677994240",
    "us-gov-east-1": "190560391635",
    "us-gov-west-1": "048591011584",
    "us-west-1": "027434742980",
    "us-west-2": "797873946194",
}


def document(*statements: Statement) -> str:
    """A policy of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


# ---- buckets -------------------------------------------------------------------------------------------------------


def tls_only(bucket_arn: str) -> Statement:
    """Refuse every request that does not come over TLS."""
    return {
        "Sid": "RefuseWithoutTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket_arn, f"{bucket_arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def tls_only_bucket(bucket_arn: str) -> str:
    """Policy of a bucket that only principals of the account itself use."""
    return document(tls_only(bucket_arn))


def model_bucket(bucket_arn: str) -> str:
    """Policy of a bucket of models: nobody deletes a version, not even an administrator who forgot this policy.

    Deleting without a version id stays possible and only puts a delete marker. The lifecycle's own deletions are no
    requests, so no policy stops them, and what it deletes is what the stack's days say:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-and-other-bucket-config.html
    """
    return document(
        tls_only(bucket_arn),
        {
            "Sid": "OnlyTheLifecycleDeletesVersions",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:DeleteObjectVersion",
            "Resource": f"{bucket_arn}/*",
        },
    )


def access_log_bucket(identity: Identity, bucket_arn: str) -> str:
    """Policy of the bucket that S3 (below `s3/`) and the load balancers (below `alb/`) deliver their access logs to.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html
    """
    own = {"StringEquals": {"aws:SourceAccount": identity.account_id}}
    elb_account = ELB_ACCOUNTS.get(identity.region)
    elb: Statement = (
        {"Principal": {"AWS": f"arn:{identity.partition}:iam::{elb_account}:root"}}
        if elb_account
        else {"Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}, "Condition": own}
    )
    return document(
        {
            "Sid": "S3ServerAccessLogs",
            "Effect": "Allow",
            "Principal": {"Service": "logging.s3.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": f"{bucket_arn}/s3/*",
            "Condition": own,
        },
        {
            "Sid": "LoadBalancerAccessLogs",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": f"{bucket_arn}/alb/AWSLogs/{identity.account_id}/*",
            **elb,
        },
        tls_only(bucket_arn),
    )


def cloudtrail_bucket(identity: Identity, bucket_arn: str, trail_arn: str) -> str:
    """Policy of the bucket that this one trail, and no other, delivers to, and that keeps the gateways' request log.

    That log's objects are written once: not over another, whoever asks, and never hidden behind a delete marker. What
    may write them is a matter of roles.
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-s3-bucket-policy-for-cloudtrail.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
    """
    trail = {"Service": "cloudtrail.amazonaws.com"}
    everybody = {"Effect": "Deny", "Principal": "*", "Resource": f"{bucket_arn}/requests/*"}
    return document(
        tls_only(bucket_arn),
        {
            "Sid": "RequestLogIsWrittenOnce",
            **everybody,
            "Action": "s3:PutObject",
            "Condition": {"Null": {"s3:if-none-match": "true"}},
        },
        {
            "Sid": "RequestLogIsNeverDeleted",
            **everybody,
            "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
        },
        {
            "Sid": "TrailReadsAcl",
            "Effect": "Allow",
            "Principal": trail,
            "Action": "s3:GetBucketAcl",
            "Resource": bucket_arn,
            "Condition": {"StringEquals": {"aws:SourceArn": trail_arn}},
        },
        {
            "Sid": "TrailDelivers",
            "Effect": "Allow",
            "Principal": trail,
            "Action": "s3:PutObject",
            "Resource": f"{bucket_arn}/AWSLogs/{identity.account_id}/*",
            "Condition": {
                "StringEquals": {"aws:SourceArn": trail_arn, "s3:x-amz-acl": "bucket-owner-full-control"},
            },
        },
    )


# ---- keys ----------------------------------------------------------------------------------------------------------


def account_key(identity: Identity, *statements: Statement) -> str:
    """Key policy that leaves the key to the account's IAM policies, and adds what services may do with it."""
    return document(
        {
            "Sid": "AccountDecides",
            "Effect": "Allow",
            "Principal": {"AWS": identity.root},
            "Action": "kms:*",
            "Resource": "*",
        },
        *statements,
    )


def log_group_key(identity: Identity, log_group_prefix: str) -> str:
    """Key policy for CloudWatch Logs, for the log groups whose name starts with the prefix.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    """
    return account_key(
        identity,
        {
            "Sid": "LogsEncrypts",
            "Effect": "Allow",
            "Principal": {"Service": f"logs.{identity.region}.{identity.dns_suffix}"},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
            "Resource": "*",
            "Condition": {
                "ArnLike": {
                    "kms:EncryptionContext:aws:logs:arn": identity.arn("logs", f"log-group:{log_group_prefix}*")
                }
            },
        },
    )


def trail_key(identity: Identity, trail_arn: str) -> str:
    """Key policy for CloudTrail: this trail may encrypt, and the account's readers may decrypt.

    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-kms-key-policy-for-cloudtrail.html
    """
    trail = {"Service": "cloudtrail.amazonaws.com"}
    return account_key(
        identity,
        {
            "Sid": "TrailEncrypts",
            "Effect": "Allow",
            "Principal": trail,
            "Action": "kms:GenerateDataKey*",
            "Resource": "*",
            "Condition": {
                "StringEquals": {"aws:SourceArn": trail_arn},
                # A multi-region trail also writes from the regions that it is not at home in.
                "StringLike": {
                    "kms:EncryptionContext:aws:cloudtrail:arn": identity.within("*").arn("cloudtrail", "trail/*")
                },
            },
        },
        {
            "Sid": "TrailDescribes",
            "Effect": "Allow",
            "Principal": trail,
            "Action": "kms:DescribeKey",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceArn": trail_arn}},
        },
    )


def topic_key(identity: Identity) -> str:
    """Key policy of the topic's own key: the services that publish to it may encrypt.

    EventBridge sends no source account or ARN along when it encrypts for a topic, so a condition on these would lose
    every event; the topic's policy holds the condition. https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    encrypt = {"Effect": "Allow", "Action": ["kms:GenerateDataKey*", "kms:Decrypt"], "Resource": "*"}
    own = {"StringEquals": {"aws:SourceAccount": identity.account_id}}
    return account_key(
        identity,
        {"Sid": "AlarmsEncrypt", **encrypt, "Principal": {"Service": "cloudwatch.amazonaws.com"}, "Condition": own},
        {"Sid": "EventsEncrypt", **encrypt, "Principal": {"Service": "events.amazonaws.com"}},
        {"Sid": "BudgetsEncrypt", **encrypt, "Principal": {"Service": "budgets.amazonaws.com"}, "Condition": own},
    )


# ---- topics --------------------------------------------------------------------------------------------------------


def notification_topic(identity: Identity, topic_arn: str) -> str:
    """Policy of the topic: alarms, event rules and budgets of this account publish, and nobody without TLS.

    https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-sns-policy.html for the budgets' part
    """

    def publish(sid: str, service: str, source_arn: str) -> Statement:
        return {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sns:Publish",
            "Resource": topic_arn,
            "Condition": {
                "StringEquals": {"aws:SourceAccount": identity.account_id},
                "ArnLike": {"aws:SourceArn": source_arn},
            },
        }

    events = publish("EventsPublish", "events.amazonaws.com", identity.arn("events", "rule/*"))
    return document(
        publish("AlarmsPublish", "cloudwatch.amazonaws.com", identity.arn("cloudwatch", "alarm:*")),
        # The ARN of a rule names its account; whether EventBridge sends the account on its own is not documented.
        events | {"Condition": {"ArnLike": events["Condition"]["ArnLike"]}},
        publish("BudgetsPublish", "budgets.amazonaws.com", identity.arn("budgets", "*", region=False)),
        {
            "Sid": "RefuseWithoutTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sns:Publish",
            "Resource": topic_arn,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    )


# ---- roles ---------------------------------------------------------------------------------------------------------


def assumed_by(service: str, condition: Statement | None = None) -> str:
    """Trust policy: one service may take the role, under the condition."""
    statement: Statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return document(statement | ({"Condition": condition} if condition else {}))


def flow_log_trust(identity: Identity) -> str:
    """Trust policy of the role that flow logs are delivered with: only for flow logs of this account.

    https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html
    """
    return assumed_by(
        "vpc-flow-logs.amazonaws.com",
        {
            "StringEquals": {"aws:SourceAccount": identity.account_id},
            "ArnLike": {"aws:SourceArn": identity.arn("ec2", "vpc-flow-log/*")},
        },
    )


def flow_log_delivery(log_group_arn: str) -> str:
    """What the flow-log role may do: write to its one log group."""
    return document(
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
            "Resource": [log_group_arn, f"{log_group_arn}:*"],
        },
        {"Effect": "Allow", "Action": "logs:DescribeLogGroups", "Resource": "*"},
    )


def replication_trust(identity: Identity, bucket_arn: str) -> str:
    """Trust policy of the role that S3 replicates the bucket with."""
    return assumed_by(
        "s3.amazonaws.com",
        {"StringEquals": {"aws:SourceAccount": identity.account_id, "aws:SourceArn": bucket_arn}},
    )


def replication(
    source: Identity, replica: Identity, bucket_arn: str, key_arn: str, replica_arn: str, replica_key_arn: str
) -> str:
    """What the replication role may do: read versions here, write replicas there, with the key of each side.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-config-for-kms-objects.html
    """
    return document(
        {
            "Effect": "Allow",
            "Action": ["s3:GetReplicationConfiguration", "s3:ListBucket"],
            "Resource": bucket_arn,
        },
        {
            "Effect": "Allow",
            "Action": [
                "s3:GetObjectVersionForReplication",
                "s3:GetObjectVersionAcl",
                "s3:GetObjectVersionTagging",
                # Asked for where the bucket has Object Lock; without it they read nothing.
                "s3:GetObjectRetention",
                "s3:GetObjectLegalHold",
            ],
            "Resource": f"{bucket_arn}/*",
        },
        {
            "Effect": "Allow",
            "Action": ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"],
            "Resource": f"{replica_arn}/*",
        },
        _through_s3("kms:Decrypt", source, key_arn, bucket_arn),
        _through_s3("kms:Encrypt", replica, replica_key_arn, replica_arn),
    )


def _through_s3(action: str, identity: Identity, key_arn: str, bucket_arn: str) -> Statement:
    """Use of a key by S3 for one bucket. With a bucket key, the encryption context is the bucket, not the object."""
    contexts: Sequence[str] = [bucket_arn, f"{bucket_arn}/*"]
    return {
        "Effect": "Allow",
        "Action": action,
        "Resource": key_arn,
        "Condition": {
            "StringLike": {
                "kms:ViaService": f"s3.{identity.region}.{identity.dns_suffix}",
                "kms:EncryptionContext:aws:s3:arn": list(contexts),
            }
        },
    }
