"""Plans for tests, as `ferry plan` writes them: small, complete, and changed by keyword.

path = write_plan(tmp_path / "plan.yaml", environment="qa", config=config(scaling={"scale_out_above": 0.7}))
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ferry.artefacts import (
    Candidate,
    Cluster,
    CostLine,
    Location,
    ModelFacts,
    Money,
    Plan,
    Reason,
    Serving,
    Slo,
    Training,
    assumed,
    measured,
)


def config(
    *,
    environment: str = "qa",
    region: str = "us-east-1",
    fleet: dict[str, Any] | None = None,
    scaling: dict[str, Any] | None = None,
    **keys: Any,
) -> dict[str, Any]:
    """What a plan decides of a stack. `keys` are further sections without their namespace: audit={…}."""
    sizes = {"instance_types": ["g5.xlarge"], "min_size": 1, "max_size": 4, "on_demand_base": 1}
    version = {
        "name": "chat",
        "model": "qwen2-5-7b",
        "version": "2026-10-01",
        "weight": 100,
        "engine": {"name": "vllm", "image": "vllm-openai:v0.33.0", "max_sequences": 32},
        "fleet": sizes | (fleet or {}) | ({"scaling": scaling} if scaling else {}),
    }
    return {
        "aws:region": region,
        "ferry:environment": environment,
        "ferry:model_versions": [version],
        "ferry:gateway": {"domain_name": "llm.site.example"},
        "ferry:monitoring": {"latency_p99_seconds": 20, "monthly_budget_usd": "9000"},
    } | {f"ferry:{key}": value for key, value in keys.items()}


def make_plan(environment: str = "qa", **changes: Any) -> Plan:
    """A plan of one chat service on vLLM, with one Slurm job that stays on two nodes of eight GPUs."""
    model = ModelFacts(
        path="model",
        architecture="Qwen2ForCausalLM",
        parameters=measured(7.6e9, "parameters", "model/config.json"),
        active_parameters=measured(7.6e9, "parameters", "model/config.json"),
        weight_bytes=measured(15.2e9, "bytes", "model/model.safetensors.index.json"),
        dtype="bfloat16",
        quantization=None,
        attention="GQA",
        layers=28,
        hidden_size=3584,
        attention_heads=28,
        kv_heads=4,
        head_dim=128,
        context_tokens=32768,
        vocabulary=152064,
    )
    slo = Slo(ttft_p99_ms=2000, tpot_p99_ms=100, availability=0.999)
    chosen = Candidate(
        instance_type="g5.xlarge",
        region="us-east-1",
        accelerator="A10G",
        accelerators=1,
        memory_gib=24,
        fits=True,
        reason="the weights and 32 sequences fit",
        weights_gib=14.2,
        usd_per_hour=Decimal("1.006"),
    )
    bill = [CostLine(item="instances", amount=Money(amount=Decimal(2900), currency="USD", basis="assumed"))]
    values: dict[str, Any] = {
        "schema": Plan.SCHEMA,
        "made_at": datetime(2026, 11, 24, tzinfo=UTC),
        "environment": environment,
        "site": "test-site",
        "serving": "chat",
        "verdict": "go",
        "reasons": [Reason(says="for", text="cheaper", basis="assumed", evidence="costs")],
        "region": "us-east-1",
        "chosen": chosen,
        "candidates": [chosen],
        "config": config(environment=environment),
        "local_monthly": bill,
        "cloud_monthly": bill,
        "hybrid_monthly": bill,
        "training": [Training(name="finetune", launcher="slurm", nodes=2)],
        "cluster": Cluster(
            nodes=4,
            gpus_per_node=8,
            accelerator="A100-SXM4-80GB",
            gpu_utilization=assumed(40, "%", "site.yaml"),
        ),
        "serving_facts": Serving(name="chat", engine="vllm", model=model, trace=None, metrics=None, slo=slo),
        "location": Location(country="US", time_zone="America/New_York"),
        "slo": slo,
    }
    return Plan.model_validate(values | changes)


def write_plan(path: Path, environment: str = "qa", **changes: Any) -> Path:
    """Write such a plan as `ferry plan` does."""
    make_plan(environment, **changes).write(path)
    return path


def empty_project(folder: Path) -> Path:
    """A folder that Ferry takes for its program."""
    (folder / "components").mkdir(parents=True)
    (folder / "stacks").mkdir()
    (folder / "Pulumi.yaml").write_text("name: ferry\nruntime: python\nstackConfigDir: stacks\n", encoding="utf-8")
    return folder
