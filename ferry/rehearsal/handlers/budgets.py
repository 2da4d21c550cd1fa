"""AWS Budgets, a global service."""

from __future__ import annotations

from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, creates


@creates("aws:budgets/budget:Budget")
def budget(account: Account, inputs: Inputs) -> Created:
    """`CreateBudget` with its notifications and their subscribers."""
    name = inputs.autoname("name", max_length=100)
    account.client("budgets").create_budget(
        AccountId=account.account_id,
        Budget={
            "BudgetName": name,
            "BudgetType": inputs.take("budgetType"),
            "TimeUnit": inputs.take("timeUnit"),
            "BudgetLimit": {"Amount": inputs.take("limitAmount"), "Unit": inputs.take("limitUnit")},
        },
        NotificationsWithSubscribers=[_notification(one) for one in inputs.each("notifications")],
    )
    inputs.skip("tags", "moto 5.2.5 accepts a budget's tags and forgets them")
    arn = f"arn:{account.partition}:budgets::{account.account_id}:budget/{name}"
    return Created(f"{account.account_id}:{name}", {"arn": arn, "name": name, "accountId": account.account_id})


def _notification(inputs: Inputs) -> dict[str, Any]:
    return {
        "Notification": {
            "NotificationType": inputs.take("notificationType"),
            "ComparisonOperator": inputs.take("comparisonOperator"),
            "Threshold": inputs.take("threshold"),
            "ThresholdType": inputs.take("thresholdType"),
        },
        "Subscribers": [
            {"SubscriptionType": "SNS", "Address": arn} for arn in inputs.take("subscriberSnsTopicArns", [])
        ],
    }
