"""Sites and their plans: complete, and changed by keyword."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ferry.artefacts import (
    Assessment,
    Cluster,
    Constraints,
    Figure,
    LocalCosts,
    Location,
    Money,
    Plan,
    Quantiles,
    TraceFacts,
    assumed,
    measured,
    unknown,
)
from tests.plans import make_plan


def money(amount: str, currency: str) -> Money:
    return Money(amount=Decimal(amount), currency=currency, basis="assumed", source="site.yaml")


def figure(value: float | None, unit: str = "") -> Figure:
    return unknown(unit) if value is None else assumed(value, unit, "site.yaml")


def assessment(
    utilization: float | None = 40, currency: str = "USD", purchased: str | None = "2026-01-24", **changes: Any
) -> Assessment:
    """Four servers of eight A100, bought ten months before; training stays on two."""
    costs: dict[str, Any] = {
        "currency": currency,
        "server_count": 4,
        "server_price_each": money("200000", currency),
        "server_lifetime_months": figure(40, "months"),
        "server_residual_share": figure(0.2),
        "nvme_array": money("40000", currency),
        "cooling": money("20000", currency),
        "power_kw_full_load": figure(20, "kW"),
        "power_kw_idle": figure(10, "kW"),
        "power_price_per_kwh": money("0.1", currency),
        "power_usage_effectiveness": figure(1.5),
        "staff_people": figure(1),
        "staff_price_per_person_year": money("144000", currency),
        "mtbf_hours": figure(None),
        "mttr_hours": figure(None),
    }
    plan = make_plan()
    return Assessment(
        schema_=Assessment.SCHEMA,
        made_at=datetime(2026, 11, 24, tzinfo=UTC),
        site="test-site",
        location=Location(country="US", time_zone="America/New_York"),
        cluster=Cluster(
            nodes=4,
            gpus_per_node=8,
            accelerator="A100-SXM4-80GB",
            purchased=purchased,
            gpu_utilization=unknown("%") if utilization is None else measured(utilization, "%", "nvidia-smi"),
        ),
        serving=[plan.serving_facts],
        training=plan.training,
        costs=LocalCosts(**{**costs, **changes}),
        constraints=Constraints(),
    )


def trace() -> TraceFacts:
    spread = Quantiles(**{name: measured(100, "tokens", "trace.csv") for name in ("mean", "p50", "p95", "p99")})
    rate = measured(1, "requests/s", "trace.csv")
    return TraceFacts(
        file="trace.csv",
        format="azure-llm-2023",
        requests=604_800,
        duration_s=604_800,
        mean_rps=rate,
        peak_rps=rate,
        input_tokens=spread,
        output_tokens=spread,
    )


def plan(**changes: Any) -> Plan:
    """On one to four g5.xlarge, three on the mean."""
    made = make_plan()
    chosen = made.chosen.model_copy(update={"min_size": 2, "max_size": 4, "mean_size": 3.0, **changes})
    facts = made.serving_facts.model_copy(update={"trace": trace()})
    return made.model_copy(update={"chosen": chosen, "serving_facts": facts})
