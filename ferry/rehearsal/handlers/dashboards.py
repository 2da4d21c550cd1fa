"""CloudWatch dashboards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, State, creates, deletes, reads


@creates("aws:cloudwatch/dashboard:Dashboard", fixed=("dashboardName",), again=True)
def dashboard(account: Account, inputs: Inputs) -> Created:
    """`PutDashboard`."""
    name = inputs.take("dashboardName")
    account.client("cloudwatch", inputs.region).put_dashboard(
        DashboardName=name, DashboardBody=inputs.take("dashboardBody")
    )
    return Created(name, {"dashboardArn": f"arn:{account.partition}:cloudwatch::{account.account_id}:dashboard/{name}"})


@reads("aws:cloudwatch/dashboard:Dashboard")
def read_dashboard(account: Account, state: State) -> Mapping[str, Any]:
    """`GetDashboard`."""
    found = account.client("cloudwatch", state.region).get_dashboard(DashboardName=state.id)
    return {"dashboardName": state.id, "dashboardBody": found["DashboardBody"]}


@deletes("aws:cloudwatch/dashboard:Dashboard")
def delete_dashboard(account: Account, state: State) -> None:
    """`DeleteDashboards`."""
    account.client("cloudwatch", state.region).delete_dashboards(DashboardNames=[state.id])
