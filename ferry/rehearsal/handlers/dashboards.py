"""CloudWatch dashboards."""

from __future__ import annotations

from ferry.rehearsal.handlers import Account, Created, Inputs, creates


@creates("aws:cloudwatch/dashboard:Dashboard")
def dashboard(account: Account, inputs: Inputs) -> Created:
    """`PutDashboard`."""
    name = inputs.take("dashboardName")
    account.client("cloudwatch", inputs.region).put_dashboard(
        DashboardName=name, DashboardBody=inputs.take("dashboardBody")
    )
    return Created(name, {"dashboardArn": f"arn:{account.partition}:cloudwatch::{account.account_id}:dashboard/{name}"})
