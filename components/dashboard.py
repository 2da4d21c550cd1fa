"""The dashboard as a pure function: what a person on call wants to see first comes first.

Format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stacks.settings import ModelVersion, MonitoringSettings
from templates import engine_metrics
from templates.engine_metrics import ENGINES

GATEWAY = "AWS/ApplicationELB"
COLUMNS = 24
HEIGHT = 6

Metric = list[Any]


def body(
    *,
    region: str,
    versions: Sequence[ModelVersion],
    monitoring: MonitoringSettings,
    load_balancer: str,
    target_groups: Mapping[str, str],
    groups: Mapping[str, str],
) -> str:
    """JSON of the dashboard: one row for the traffic, one for each version's nodes.

    `target_groups` and `groups` give, by version name, the values of the dimensions TargetGroup and
    AutoScalingGroupName.
    """

    def traffic(metric: str, stat: str) -> list[Metric]:
        return [
            [
                *(GATEWAY, metric, "LoadBalancer", load_balancer, "TargetGroup", target_groups[version.name]),
                {"label": version.name, "stat": stat},
            ]
            for version in versions
        ]

    refused: Metric = [
        *(GATEWAY, "HTTPCode_ELB_5XX_Count", "LoadBalancer", load_balancer),
        {"label": "gateway", "stat": "Sum"},
    ]
    rows = [
        [
            ("Requests a minute", traffic("RequestCount", "Sum"), None),
            ("Time to the first byte, P99 (s)", traffic("TargetResponseTime", "p99"), monitoring.latency_p99_seconds),
            ("Answers 5xx", [*traffic("HTTPCode_Target_5XX_Count", "Sum"), refused], None),
            ("Healthy nodes", traffic("HealthyHostCount", "Minimum"), None),
        ],
        *(_nodes(version, groups[version.name], monitoring) for version in versions),
    ]
    widgets = [
        _graph(title, metrics, limit, region=region, row=index, column=column, width=COLUMNS // len(row))
        for index, row in enumerate(rows)
        for column, (title, metrics, limit) in enumerate(row)
    ]
    return json.dumps({"widgets": widgets})


def _nodes(
    version: ModelVersion, group: str, monitoring: MonitoringSettings
) -> list[tuple[str, list[Metric], float | None]]:
    engine = ENGINES[version.engine.name]

    def node(metric: str, label: str, stat: str) -> Metric:
        return [engine_metrics.NAMESPACE, metric, engine_metrics.DIMENSION, group, {"label": label, "stat": stat}]

    return [
        (
            f"{version.name}: requests on a node",
            [node(engine.running, "running", "Average"), node(engine.waiting, "waiting", "Average")],
            monitoring.queue_per_instance,
        ),
        (f"{version.name}: KV cache in use", [node(engine.kv_cache_use, "worst node", "Maximum")], None),
        (
            f"{version.name}: P99 of the worst node (s)",
            [
                node(engine_metrics.TTFT_P99_SECONDS, "time to first token", "Maximum"),
                node(engine_metrics.LATENCY_P99_SECONDS, "whole answer", "Maximum"),
            ],
            monitoring.latency_p99_seconds,
        ),
        (
            f"{version.name}: GPU faults",
            [
                node(engine_metrics.GPU_XID_ERRORS, "Xid", "Maximum"),
                node(engine_metrics.GPU_ECC_ERRORS, "uncorrected ECC", "Maximum"),
            ],
            None,
        ),
    ]


def _graph(
    title: str, metrics: list[Metric], limit: float | None, *, region: str, row: int, column: int, width: int
) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "title": title,
        "region": region,
        "view": "timeSeries",
        "period": 60,
        "metrics": metrics,
        "yAxis": {"left": {"min": 0}},
    }
    if limit is not None:
        properties["annotations"] = {"horizontal": [{"label": "alarm", "value": limit}]}
    return {
        "type": "metric",
        "x": column * width,
        "y": row * HEIGHT,
        "width": width,
        "height": HEIGHT,
        "properties": properties,
    }
