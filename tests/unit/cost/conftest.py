"""Inputs of the cost over a horizon: round numbers, everything known, half of the nodes serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from ferry.cost.inputs import Inputs, Service

BASE = Inputs(
    currency="USD",
    region="us-east-1",
    instance_type="g5.xlarge",
    serving_share=Decimal("0.5"),
    server_count=Decimal(2),
    server_price=Decimal(200_000),
    lifetime_months=Decimal(40),
    age_months=Decimal(10),
    residual_share=Decimal("0.2"),
    resale_share=Decimal(0),
    nvme_array=Decimal(40_000),
    cooling=Decimal(20_000),
    racks=Decimal(2),
    rack_price_per_month=Decimal(500),
    kw_full_load=Decimal(20),
    kw_idle=Decimal(10),
    utilization=Decimal("0.2"),
    pue=Decimal("1.5"),
    price_per_kwh=Decimal("0.1"),
    staff_people=Decimal(1),
    price_per_person_year=Decimal(144_000),
    staff_freed_share=Decimal(0),
    mtbf_hours=Decimal(990),
    mttr_hours=Decimal(10),
    price_per_hour_down=Decimal(100),
    delay_days_at_home=Decimal(21),
    delay_days_on_aws=Decimal(7),
    delays_per_year=Decimal(4),
    price_per_day_of_delay=Decimal(1_000),
    on_demand_per_hour=Decimal(1),
    spot_per_hour=Decimal("0.4"),
    savings_1yr_per_hour=Decimal("0.6"),
    savings_3yr_per_hour=Decimal("0.5"),
    mean_instances=Decimal(3),
    least_instances=Decimal(2),
    services=(Service("load balancer", Decimal(20), "a list, 2026-11-01", "one"),),
)


@pytest.fixture(scope="session")
def inputs() -> Callable[..., Inputs]:
    """The inputs, changed by keyword."""

    def change(**changes: Any) -> Inputs:
        return replace(BASE, **changes)

    return change
