"""Our quantiles against Prometheus's own, by way of promtool's rule tests."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import pytest
import yaml

from ferry.assess.prometheus.quantiles import histogram_quantile

HISTOGRAMS: list[dict[float, int]] = [
    {0.1: 500, 0.2: 900, 1.0: 1000, math.inf: 1000},
    {15.0: 0, 20.0: 6, 30.0: 6, math.inf: 6},
    {1.0: 1, 2.0: 2, math.inf: 100},
    {0.5: 10, 1.0: 9, 2.0: 30, math.inf: 30},
    {-1.0: 5, 1.0: 5, math.inf: 5},
    {0.0: 3, 1.0: 5, math.inf: 5},
]
QUANTILES = (0.25, 0.5, 0.95, 0.99, 1.0)


@pytest.mark.tool("promtool")
def test_quantiles_are_those_that_prometheus_computes(tmp_path: Path) -> None:
    series, queries = [], []
    for number, buckets in enumerate(HISTOGRAMS):
        for bound, count in buckets.items():
            le = "+Inf" if bound == math.inf else repr(bound)
            series.append({"series": f'h{number}_bucket{{le="{le}"}}', "values": f"{count}x1"})
        for q in QUANTILES:
            value = histogram_quantile(q, {bound: float(count) for bound, count in buckets.items()}).value
            expected = {"labels": "{}", "value": value}
            queries.append(
                {"expr": f"histogram_quantile({q}, h{number}_bucket)", "eval_time": "0m", "exp_samples": [expected]}
            )
    test = {"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": queries}]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
