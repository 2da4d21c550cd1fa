"""SNS: topics, their policies, their subscriptions."""

from __future__ import annotations

from ferry.rehearsal.handlers import Account, Created, Inputs, creates


@creates("aws:sns/topic:Topic")
def topic(account: Account, inputs: Inputs) -> Created:
    """`CreateTopic`."""
    attributes = {"KmsMasterKeyId": inputs.take("kmsMasterKeyId")}
    name = inputs.autoname("name", max_length=256)
    arn = account.client("sns", inputs.region).create_topic(
        Name=name,
        Attributes={key: value for key, value in attributes.items() if value is not None},
        Tags=inputs.tags(),
    )["TopicArn"]
    return Created(arn, {"arn": arn, "name": name, "owner": account.account_id})


@creates("aws:sns/topicPolicy:TopicPolicy")
def topic_policy(account: Account, inputs: Inputs) -> Created:
    """`SetTopicAttributes` with the policy."""
    arn = inputs.take("arn")
    account.client("sns", inputs.region).set_topic_attributes(
        TopicArn=arn, AttributeName="Policy", AttributeValue=inputs.take("policy")
    )
    return Created(arn, {"owner": account.account_id})


@creates("aws:sns/topicSubscription:TopicSubscription")
def topic_subscription(account: Account, inputs: Inputs) -> Created:
    """`Subscribe`. In AWS an e-mail address stays unconfirmed until its owner agrees."""
    arn = account.client("sns", inputs.region).subscribe(
        TopicArn=inputs.take("topic"), Protocol=inputs.take("protocol"), Endpoint=inputs.take("endpoint")
    )["SubscriptionArn"]
    return Created(arn, {"arn": arn, "ownerId": account.account_id})
