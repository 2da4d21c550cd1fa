"""What moves is encrypted: TLS, and nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ferry.compliance.documents import refuses_plaintext
from ferry.compliance.resource import Context, Resource, Seen, of_type
from ferry.compliance.rule import excepted, rule, stack_rule
from ferry.compliance.rules.buckets import BUCKET, POLICY, settings_of

IN_TRANSIT = ("8.1.2.2", "8.1.4.7 a", "8.1.4.8 a")

TLS_12_POLICIES = ("ELBSecurityPolicy-TLS13-1-2-", "ELBSecurityPolicy-TLS13-1-3-", "ELBSecurityPolicy-FS-1-2-")
"""https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html"""
TOO_WIDE = ("-Ext1-", "-Ext2-")
"""Of the TLS 1.2 policies, these also offer ciphers without forward secrecy (RSA key exchange)."""

PASSED_THROUGH = {
    "-tier-door-door": "TLS ends at the load balancer behind it, by that one's listener",
}
"""Listeners that pass TLS through as TCP, by the end of their tag `Name`; only on port 443."""


@rule(
    "bucket-policy-refuses-plaintext",
    zh="存储桶策略拒绝一切非 TLS 请求",
    clauses=IN_TRANSIT,
    types=[POLICY],
    remedy='deny s3:* to everybody under {"Bool": {"aws:SecureTransport": "false"}}',
)
def bucket_policy_refuses_plaintext(policy: Resource, context: Context) -> Iterator[Seen]:
    """A bucket's policy refuses every call that does not come over TLS."""
    ok = all(refuses_plaintext(policy.get("policy"), action) for action in ("s3:GetObject", "s3:PutObject"))
    yield policy.seen("policy", ok, "Deny where aws:SecureTransport is false" if ok else "no such Deny")


@stack_rule(
    "bucket-has-policy",
    zh="每个存储桶都有存储桶策略",
    clauses=IN_TRANSIT,
    remedy="give the bucket a BucketPolicy that refuses calls without TLS",
)
def bucket_has_policy(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """Every bucket has a policy, so that it can refuse calls without TLS."""
    for bucket in of_type(resources, BUCKET):
        policies = settings_of(bucket, resources, POLICY)
        yield bucket.seen("policy", bool(policies), [one.name for one in policies] or "absent")


@rule(
    "topic-policy-refuses-plaintext",
    zh="SNS 主题策略拒绝一切非 TLS 请求",
    clauses=IN_TRANSIT,
    types=["aws:sns/topicPolicy:TopicPolicy"],
    remedy='deny sns:Publish to everybody under {"Bool": {"aws:SecureTransport": "false"}}',
)
def topic_policy_refuses_plaintext(policy: Resource, context: Context) -> Iterator[Seen]:
    """A topic's policy refuses every call that does not come over TLS."""
    ok = refuses_plaintext(policy.get("policy"), "sns:Publish")
    yield policy.seen("policy", ok, "Deny where aws:SecureTransport is false" if ok else "no such Deny")


@rule(
    "listener-tls-1-2",
    zh="负载均衡监听器仅使用 TLS 1.2 及以上的安全策略",
    clauses=IN_TRANSIT,
    types=["aws:lb/listener:Listener"],
    remedy="set protocol to HTTPS and sslPolicy to one of the TLS13-1-2-Res or TLS13-1-3 policies",
)
def listener_tls_1_2(listener: Resource, context: Context) -> Iterator[Seen]:
    """Listeners speak TLS 1.2 or newer, with forward secrecy, or pass it on where that is named with its reason."""
    actions = [one.get("type") for one in listener.get("defaultActions", [])]
    if listener.get("protocol") == "HTTP" and actions == ["redirect"]:
        yield listener.seen("defaultActions", True, "redirects to HTTPS")
        return
    why = (
        excepted(listener, PASSED_THROUGH)
        if listener.get("protocol") == "TCP" and listener.get("port") == 443
        else None
    )
    if why:
        yield listener.seen("protocol", True, f"TCP: {why}")
        return
    yield listener.seen("protocol", listener.get("protocol") in ("HTTPS", "TLS"))
    policy = f"{listener.get('sslPolicy', '')}-"
    yield listener.seen(
        "sslPolicy", policy.startswith(TLS_12_POLICIES) and not any(part in policy for part in TOO_WIDE)
    )
