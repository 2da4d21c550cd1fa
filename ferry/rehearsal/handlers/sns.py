"""SNS: topics, their policies, their subscriptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, State, creates, deleted_by, deletes, reads, updates
from ferry.rehearsal.handlers.tagging import as_map


@creates("aws:sns/topic:Topic", fixed=("name", "namePrefix", "fifoTopic"))
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


@creates("aws:sns/topicPolicy:TopicPolicy", fixed=("arn",), again=True)
def topic_policy(account: Account, inputs: Inputs) -> Created:
    """`SetTopicAttributes` with the policy."""
    arn = inputs.take("arn")
    account.client("sns", inputs.region).set_topic_attributes(
        TopicArn=arn, AttributeName="Policy", AttributeValue=inputs.take("policy")
    )
    return Created(arn, {"owner": account.account_id})


@creates("aws:sns/topicSubscription:TopicSubscription", fixed=("topic", "protocol", "endpoint"))
def topic_subscription(account: Account, inputs: Inputs) -> Created:
    """`Subscribe`. In AWS an e-mail address stays unconfirmed until its owner agrees."""
    arn = account.client("sns", inputs.region).subscribe(
        TopicArn=inputs.take("topic"), Protocol=inputs.take("protocol"), Endpoint=inputs.take("endpoint")
    )["SubscriptionArn"]
    return Created(arn, {"arn": arn, "ownerId": account.account_id})


@updates("aws:sns/topic:Topic", "kmsMasterKeyId")
def topic_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`SetTopicAttributes`; an empty key takes the encryption off."""
    account.client("sns", old.region).set_topic_attributes(
        TopicArn=old.id, AttributeName="KmsMasterKeyId", AttributeValue=new.take("kmsMasterKeyId", "")
    )
    return {}


@reads("aws:sns/topic:Topic")
def read_topic(account: Account, state: State) -> Mapping[str, Any]:
    """Attributes and tags."""
    sns = account.client("sns", state.region)
    attributes = sns.get_topic_attributes(TopicArn=state.id)["Attributes"]
    return {
        "arn": state.id,
        "name": state.id.rpartition(":")[2],
        "kmsMasterKeyId": attributes.get("KmsMasterKeyId"),
        "tags": as_map(sns.list_tags_for_resource(ResourceArn=state.id)["Tags"]),
    }


@reads("aws:sns/topicPolicy:TopicPolicy")
def read_topic_policy(account: Account, state: State) -> Mapping[str, Any]:
    """The policy is an attribute of the topic."""
    attributes = account.client("sns", state.region).get_topic_attributes(TopicArn=state.id)["Attributes"]
    return {"arn": state.id, "policy": attributes["Policy"]}


@deletes("aws:sns/topicPolicy:TopicPolicy")
def delete_topic_policy(account: Account, state: State) -> None:
    """A topic always has a policy: what is left is the one that it starts with, for its own account."""
    own = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": ["SNS:Publish", "SNS:Subscribe"],
        "Resource": state.id,
        "Condition": {"StringEquals": {"AWS:SourceOwner": account.account_id}},
    }
    account.client("sns", state.region).set_topic_attributes(
        TopicArn=state.id,
        AttributeName="Policy",
        AttributeValue=json.dumps({"Version": "2008-10-17", "Statement": [own]}),
    )


@reads("aws:sns/topicSubscription:TopicSubscription")
def read_subscription(account: Account, state: State) -> Mapping[str, Any]:
    """Its attributes."""
    found = account.client("sns", state.region).get_subscription_attributes(SubscriptionArn=state.id)["Attributes"]
    return {"topic": found["TopicArn"], "protocol": found["Protocol"], "endpoint": found["Endpoint"]}


deleted_by("aws:sns/topic:Topic", "sns", "delete_topic", TopicArn="id")
deleted_by("aws:sns/topicSubscription:TopicSubscription", "sns", "unsubscribe", SubscriptionArn="id")
