"""AWS Budgets, a global service."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, State, creates, deleted_by, reads


@creates("aws:budgets/budget:Budget", fixed=("accountId", "name", "namePrefix"), again=True)
def budget(account: Account, inputs: Inputs) -> Created:
    """`CreateBudget` with its notifications and their subscribers."""
    name = inputs.autoname("name", max_length=100)
    budgets = account.client("budgets")
    if inputs.known.get("accountId"):  # it is there: moto 5.2.5 knows no `UpdateBudget`
        budgets.delete_budget(AccountId=account.account_id, BudgetName=name)
    budgets.create_budget(
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


@reads("aws:budgets/budget:Budget")
def read_budget(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeBudget`. moto 5.2.5 writes the limit as a number of its own form, so it is compared as one."""
    _, _, name = state.id.partition(":")
    found = account.client("budgets").describe_budget(AccountId=account.account_id, BudgetName=name)["Budget"]
    limit = found["BudgetLimit"]
    return {
        "name": name,
        "budgetType": found["BudgetType"],
        "timeUnit": found["TimeUnit"],
        "limitAmount": format(Decimal(limit["Amount"]).normalize(), "f"),
        "limitUnit": limit["Unit"],
    }


deleted_by("aws:budgets/budget:Budget", "budgets", "delete_budget", AccountId="accountId", BudgetName="name")
