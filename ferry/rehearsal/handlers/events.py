"""EventBridge rules and their targets, on the default bus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, State, creates, deletes, first, reads
from ferry.rehearsal.handlers.tagging import as_map


@creates("aws:cloudwatch/eventRule:EventRule", fixed=("name", "namePrefix", "eventBusName"), again=True)
def rule(account: Account, inputs: Inputs) -> Created:
    """A rule that picks events by their pattern. moto makes no events of CloudTrail, so none ever arrives."""
    name = inputs.autoname("name", 64)
    request: dict[str, Any] = {
        "Name": name,
        "EventPattern": inputs.take("eventPattern"),
        "State": inputs.take("state", "ENABLED"),
        "Tags": inputs.tags(),
    }
    if description := inputs.take("description"):
        request["Description"] = description
    made = account.client("events", inputs.region).put_rule(**request)
    return Created(name, {"arn": made["RuleArn"], "name": name})


@creates("aws:cloudwatch/eventTarget:EventTarget", fixed=("rule", "targetId", "eventBusName"), again=True)
def target(account: Account, inputs: Inputs) -> Created:
    """Where the events of a rule go, and what is written of them."""
    region, rule_name = inputs.region, inputs.take("rule")
    id_ = inputs.autoname("targetId", 64)
    sent: dict[str, Any] = {"Id": id_, "Arn": inputs.take("arn")}
    if transformer := inputs.nested("inputTransformer"):
        sent["InputTransformer"] = {
            "InputPathsMap": transformer.take("inputPaths", {}),
            "InputTemplate": transformer.take("inputTemplate"),
        }
    account.client("events", region).put_targets(Rule=rule_name, Targets=[sent])
    return Created(f"{rule_name}-{id_}", {"targetId": id_})


@reads("aws:cloudwatch/eventRule:EventRule")
def read_rule(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeRule`."""
    events = account.client("events", state.region)
    found = events.describe_rule(Name=state.id)
    return {
        "name": found["Name"],
        "eventPattern": found.get("EventPattern"),
        "description": found.get("Description"),
        "state": found["State"],
        "tags": as_map(events.list_tags_for_resource(ResourceARN=found["Arn"])["Tags"]),
    }


@reads("aws:cloudwatch/eventTarget:EventTarget")
def read_target(account: Account, state: State) -> Mapping[str, Any]:
    """The rule's target of this id."""
    targets = account.client("events", state.region).list_targets_by_rule(Rule=state.get("rule"))["Targets"]
    found = first(one for one in targets if one["Id"] == state.get("targetId"))
    transformer = found.get("InputTransformer")
    return {
        "arn": found["Arn"],
        "inputTransformer": transformer
        and {"inputPaths": transformer.get("InputPathsMap", {}), "inputTemplate": transformer["InputTemplate"]},
    }


@deletes("aws:cloudwatch/eventRule:EventRule")
def delete_rule(account: Account, state: State) -> None:
    """`DeleteRule`, once it has no targets."""
    account.client("events", state.region).delete_rule(Name=state.id)


@deletes("aws:cloudwatch/eventTarget:EventTarget")
def remove_target(account: Account, state: State) -> None:
    """`RemoveTargets`."""
    account.client("events", state.region).remove_targets(Rule=state.get("rule"), Ids=[state.get("targetId")])
