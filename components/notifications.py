"""Notifications: the topic that alarms, events and budgets publish to, and the people it writes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import policies
from components.identity import Identity


@dataclass(frozen=True, kw_only=True)
class NotificationsArgs:
    """Arguments of `Notifications`."""

    identity: Identity
    emails: Sequence[str]
    """Each has to confirm its subscription in a message from AWS before it gets any other."""
    tags: Mapping[str, str]


class Notifications(pulumi.ComponentResource):
    """An SNS topic, encrypted with a key of its own, that only services acting for this account publish to."""

    topic_arn: pulumi.Output[str]
    """Given out after the topic's policy is in place, so that what publishes to it is made after that."""

    def __init__(self, name: str, args: NotificationsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:Notifications", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        tags = {**args.tags, "Name": f"{name}-topic"}

        key = aws.kms.Key(
            f"{name}-topic",
            description="Notifications",
            enable_key_rotation=True,
            policy=policies.topic_key(args.identity),
            tags=tags,
            opts=child,
        )
        topic = aws.sns.Topic(f"{name}-topic", kms_master_key_id=key.arn, tags=tags, opts=child)
        policy = aws.sns.TopicPolicy(
            f"{name}-topic",
            arn=topic.arn,
            policy=topic.arn.apply(lambda arn: policies.notification_topic(args.identity, arn)),
            opts=child,
        )
        for email in args.emails:
            aws.sns.TopicSubscription(f"{name}-{email}", topic=topic.arn, protocol="email", endpoint=email, opts=child)

        self.topic_arn = policy.arn
        self.register_outputs({"topic_arn": self.topic_arn})
