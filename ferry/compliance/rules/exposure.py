"""Nothing is public."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ferry.compliance.documents import ANYBODY, Statement, open_to_anybody
from ferry.compliance.resource import Context, Resource, Seen, of_type
from ferry.compliance.rule import rule, stack_rule
from ferry.compliance.rules.buckets import BUCKET, PUBLIC_ACCESS_BLOCK, settings_of

SWITCHES = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


@rule(
    "public-access-block-complete",
    zh="存储桶的四项阻止公开访问设置全部开启",
    clauses=["8.1.4.2 e-g"],
    types=[PUBLIC_ACCESS_BLOCK],
    remedy=f"set {', '.join(SWITCHES)} to true",
)
def public_access_block_complete(block: Resource, context: Context) -> Iterator[Seen]:
    """A bucket's public access block has all four switches on."""
    for switch in SWITCHES:
        yield block.seen(switch, block.get(switch) is True)


@stack_rule(
    "bucket-has-public-access-block",
    zh="每个存储桶都设置了阻止公开访问",
    clauses=["8.1.4.2 e-g"],
    remedy="give the bucket a BucketPublicAccessBlock",
)
def bucket_has_public_access_block(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """Every bucket has a public access block."""
    for bucket in of_type(resources, BUCKET):
        blocks = settings_of(bucket, resources, PUBLIC_ACCESS_BLOCK)
        yield bucket.seen("publicAccessBlock", bool(blocks), [one.name for one in blocks] or "absent")


@rule(
    "endpoint-for-own-principals",
    zh="VPC 终端节点只放行本账户主体的请求",
    clauses=["8.1.3.1", "8.2.3.1"],
    types=["aws:ec2/vpcEndpoint:VpcEndpoint"],
    remedy="give the endpoint a policy with aws:PrincipalAccount (components.endpoint_policies)",
)
def endpoint_for_own_principals(endpoint: Resource, context: Context) -> Iterator[Seen]:
    """VPC endpoints pass the account's own principals, and what only reads named objects of S3."""
    document = endpoint.get("policy")
    opened = [one for one in open_to_anybody(document) if not _reads_named_objects(one)] if document else []
    said = "the account's own principals" if document and not opened else "everybody"
    yield endpoint.seen("policy", bool(document) and not opened, said)


@rule(
    "policy-not-public",
    zh="资源策略不向任何人开放",
    clauses=["8.1.4.2 e-g"],
    types=["aws:s3/bucketPolicy:BucketPolicy", "aws:sns/topicPolicy:TopicPolicy", "aws:kms/key:Key"],
    remedy="name the principals, or narrow the statement with aws:SourceAccount or aws:SourceArn",
)
def policy_not_public(holder: Resource, context: Context) -> Iterator[Seen]:
    """No policy of a bucket, topic or key allows anything to everybody."""
    if (document := holder.get("policy")) is not None:
        opened = [action for one in open_to_anybody(document) for action in one.actions]
        yield holder.seen("policy", not opened, f"allows everybody {', '.join(opened)}" if opened else "nobody unnamed")


def _reads_named_objects(one: Statement) -> bool:
    return one.actions == ("s3:GetObject",) and ANYBODY not in one.resources and not one.inverted
