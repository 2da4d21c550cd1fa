"""EventBridge rules and their targets, on the default bus."""

from __future__ import annotations

from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, creates


@creates("aws:cloudwatch/eventRule:EventRule")
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


@creates("aws:cloudwatch/eventTarget:EventTarget")
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
