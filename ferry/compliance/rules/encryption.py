"""What lies still is encrypted, with keys of the account's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ferry.compliance.resource import Context, Resource, Seen, is_true, of_type
from ferry.compliance.rule import rule, stack_rule
from ferry.compliance.rules.buckets import BUCKET, ENCRYPTION, log_targets, settings_of


@rule(
    "kms-key-rotates",
    zh="KMS 密钥自动轮换",
    clauses=["8.1.4.8 b", "8.2.4.5 d"],
    types=["aws:kms/key:Key"],
    remedy="set enableKeyRotation to true",
)
def kms_key_rotates(key: Resource, context: Context) -> Iterator[Seen]:
    """KMS keys rotate."""
    yield key.seen("enableKeyRotation", key.get("enableKeyRotation") is True)


@rule(
    "log-group-encrypted",
    zh="日志组以客户自管的 KMS 密钥加密",
    clauses=["8.1.4.8 b"],
    types=["aws:cloudwatch/logGroup:LogGroup"],
    remedy="give the log group a kmsKeyId",
)
def log_group_encrypted(group: Resource, context: Context) -> Iterator[Seen]:
    """Log groups are encrypted with a KMS key of the account's own."""
    yield group.seen("kmsKeyId", bool(group.get("kmsKeyId")))


@rule(
    "topic-encrypted",
    zh="SNS 主题以客户自管的 KMS 密钥加密",
    clauses=["8.1.4.8 b"],
    types=["aws:sns/topic:Topic"],
    remedy="give the topic a kmsMasterKeyId that is not alias/aws/sns",
)
def topic_encrypted(topic: Resource, context: Context) -> Iterator[Seen]:
    """SNS topics are encrypted with a KMS key of the account's own."""
    key = topic.get("kmsMasterKeyId")
    yield topic.seen("kmsMasterKeyId", bool(key) and not str(key).startswith("alias/aws/"))


@rule(
    "volumes-encrypted",
    zh="节点的每个 EBS 卷均加密",
    clauses=["8.1.4.8 b", "8.2.4.4 c"],
    types=["aws:ec2/launchTemplate:LaunchTemplate", "aws:ebs/volume:Volume", "aws:ec2/instance:Instance"],
    remedy="set encrypted to true on every volume that the resource makes",
)
def volumes_encrypted(maker: Resource, context: Context) -> Iterator[Seen]:
    """Every EBS volume that a node is launched with is encrypted."""
    if maker.type == "aws:ebs/volume:Volume":
        yield maker.seen("encrypted", is_true(maker.get("encrypted")))
        return
    if maker.type == "aws:ec2/instance:Instance":
        yield maker.seen("rootBlockDevice.encrypted", is_true(maker.get("rootBlockDevice.encrypted")))
    mappings = maker.get("blockDeviceMappings") or maker.get("ebsBlockDevices") or []
    for index, mapping in enumerate(mappings):
        volume = mapping.get("ebs") or mapping
        encrypted = volume.get("encrypted")
        yield maker.seen(f"blockDeviceMappings[{index}].ebs.encrypted", is_true(encrypted), str(encrypted))
    if maker.type == "aws:ec2/launchTemplate:LaunchTemplate" and not mappings:
        # Without a mapping the image decides, and nobody has seen what it says.
        yield maker.seen("blockDeviceMappings", False)


@stack_rule(
    "bucket-encrypted",
    zh="每个存储桶默认加密；除访问日志桶外均使用客户自管的 KMS 密钥",
    clauses=["8.1.4.8 b", "8.2.4.5 d"],
    remedy="give the bucket a BucketServerSideEncryptionConfiguration with aws:kms and a key of the account's own",
)
def bucket_encrypted(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """Every bucket is encrypted with a KMS key of the account's own, or by AES256 where AWS delivers access logs."""
    targets = log_targets(resources)
    for bucket in of_type(resources, BUCKET):
        rules = [one for each in settings_of(bucket, resources, ENCRYPTION) for one in each.get("rules", [])]
        defaults = [one.get("applyServerSideEncryptionByDefault") or {} for one in rules]
        # Access logs cannot be delivered to a bucket with a KMS key.
        ok = any(
            (each.get("sseAlgorithm") == "aws:kms" and bool(each.get("kmsMasterKeyId")))
            or (bucket.id in targets and each.get("sseAlgorithm") == "AES256")
            for each in defaults
        )
        yield bucket.seen("serverSideEncryption", ok, defaults or "absent")


@rule(
    "trail-encrypted",
    zh="CloudTrail 日志以客户自管的 KMS 密钥加密",
    clauses=["8.1.4.8 b"],
    types=["aws:cloudtrail/trail:Trail"],
    remedy="give the trail a kmsKeyId",
)
def trail_encrypted(trail: Resource, context: Context) -> Iterator[Seen]:
    """The trail's files are encrypted with a KMS key of the account's own."""
    yield trail.seen("kmsKeyId", bool(trail.get("kmsKeyId")))
