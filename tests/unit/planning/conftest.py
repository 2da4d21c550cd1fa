"""Assessments as `ferry assess` would write them, made in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ferry.artefacts import (
    Assessment,
    Cluster,
    Constraints,
    Figure,
    LocalCosts,
    Location,
    ModelFacts,
    Money,
    Plan,
    Quantiles,
    Serving,
    Slo,
    TraceFacts,
    Training,
    measured,
    unknown,
)
from ferry.planning import plan


def figure(value: float | None, unit: str = "") -> Figure:
    return unknown(unit) if value is None else measured(value, unit, "a test")


def money(amount: str | None, currency: str = "USD") -> Money:
    if amount is None:
        return Money(currency=currency, basis="unknown")
    return Money(amount=Decimal(amount), currency=currency, basis="assumed", source="site.yaml")


def quantiles(mean: float, p99: float, unit: str = "tokens") -> Quantiles:
    return Quantiles(mean=figure(mean, unit), p50=figure(mean, unit), p95=figure(p99, unit), p99=figure(p99, unit))


def llama_3_8b(**changes: Any) -> ModelFacts:
    facts: dict[str, Any] = {
        "path": "llama-3-8b",
        "architecture": "LlamaForCausalLM",
        "parameters": figure(8.03e9),
        "active_parameters": figure(8.03e9),
        "weight_bytes": figure(16_060_522_496),
        "dtype": "bfloat16",
        "quantization": None,
        "attention": "GQA",
        "layers": 32,
        "hidden_size": 4096,
        "attention_heads": 32,
        "kv_heads": 8,
        "head_dim": 128,
        "context_tokens": 8192,
        "vocabulary": 128_256,
    }
    return ModelFacts(**{**facts, **changes})


def deepseek_v3(**changes: Any) -> ModelFacts:
    """671B parameters in FP8; the size is that of its safetensors index."""
    facts: dict[str, Any] = {
        "path": "deepseek-v3",
        "architecture": "DeepseekV3ForCausalLM",
        "parameters": figure(671e9),
        "active_parameters": figure(37e9),
        "weight_bytes": figure(688_586_727_753),
        "dtype": "bfloat16",
        "quantization": "fp8",
        "attention": "MLA",
        "layers": 61,
        "hidden_size": 7168,
        "attention_heads": 128,
        "kv_heads": 128,
        "head_dim": 192,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "experts_total": 256,
        "experts_active": 8,
        "context_tokens": 163_840,
        "vocabulary": 129_280,
    }
    return ModelFacts(**{**facts, **changes})


def trace(mean_rps: float = 1.0, peak_rps: float | None = None, hours: float = 168) -> TraceFacts:
    return TraceFacts(
        file="trace.csv",
        format="azure-llm-2023",
        requests=round(mean_rps * hours * 3600),
        duration_s=hours * 3600,
        mean_rps=figure(mean_rps, "requests/s"),
        peak_rps=figure(2 * mean_rps if peak_rps is None else peak_rps, "requests/s"),
        input_tokens=quantiles(1000, 4000),
        output_tokens=quantiles(200, 600),
    )


def costs(currency: str = "USD", **changes: Any) -> LocalCosts:
    """Two servers of 200,000 over 40 months with a fifth left: 8,000 a month; 12,000 staff; power by utilisation."""
    items: dict[str, Any] = {
        "currency": currency,
        "server_count": 2,
        "server_price_each": money("200000", currency),
        "server_lifetime_months": figure(40, "months"),
        "server_residual_share": figure(0.2, ""),
        "nvme_array": money("40000", currency),
        "cooling": money("20000", currency),
        "power_kw_full_load": figure(20, "kW"),
        "power_kw_idle": figure(10, "kW"),
        "power_price_per_kwh": money("0.1", currency),
        "power_usage_effectiveness": figure(1.5, ""),
        "staff_people": figure(1, "people"),
        "staff_price_per_person_year": money("144000", currency),
        "mtbf_hours": figure(None, "h"),
        "mttr_hours": figure(None, "h"),
    }
    return LocalCosts(**{**items, **changes})


def assessment(
    *,
    model: ModelFacts | None = None,
    requests: TraceFacts | None = None,
    utilization: float | None = 20,
    local: LocalCosts | None = None,
    constraints: Constraints | None = None,
    slo: Slo | None = None,
    training: list[Training] | None = None,
    **changes: Any,
) -> Assessment:
    """One service on two servers of eight A100 each, bought in 2026; a week of trace; no training."""
    facts: dict[str, Any] = {
        "schema": Assessment.SCHEMA,
        "made_at": datetime(2026, 11, 24, tzinfo=UTC),
        "site": "test-site",
        "location": Location(country="US", time_zone="America/New_York"),
        "cluster": Cluster(
            nodes=2,
            gpus_per_node=8,
            accelerator="A100-SXM4-80GB",
            purchased="2026-01-15",
            gpu_utilization=unknown("%") if utilization is None else measured(utilization, "%", "nvidia-smi"),
        ),
        "serving": [
            Serving(
                name="chat",
                engine="vllm",
                model=model or llama_3_8b(),
                trace=requests or trace(),
                metrics=None,
                slo=slo or Slo(),
            )
        ],
        "training": training or [],
        "costs": local or costs(),
        "constraints": constraints or Constraints(regions_allowed=["us-east-1"]),
    }
    return Assessment(**{**facts, **changes})


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The factories: `make.assessment(...)`, `make.llama_3_8b(...)`, ..."""
    return SimpleNamespace(
        assessment=assessment,
        costs=costs,
        deepseek_v3=deepseek_v3,
        figure=figure,
        llama_3_8b=llama_3_8b,
        money=money,
        quantiles=quantiles,
        trace=trace,
    )


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    """Writes an assessment, plans it as of 24 November 2026, and gives the plan."""

    def build(facts: Assessment, **options: Any) -> Plan:
        path = tmp_path / "assessment.yaml"
        facts.write(path)
        return plan(path, **{"environment": "dev", "today": date(2026, 11, 24), **options})

    return build
