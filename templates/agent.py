"""What the CloudWatch agent of a node does: scrape the engine and the node's own gauges, send them, ship the boot log.

The agent is on the Deep Learning AMI. Its configuration follows translator/config/schema.json of
amazon-cloudwatch-agent: `logs.metrics_collected.prometheus` writes embedded metric format to CloudWatch Logs, and
CloudWatch makes metrics of it; a label that stands in `dimensions` becomes the dimension.
"""

from __future__ import annotations

import re
from typing import Any

from templates.engine_metrics import DIMENSION, ENGINES, NAMESPACE, NODE_GAUGES

ENGINE_ADDRESS = "127.0.0.1:8000"
NODE_METRICS_ADDRESS = "127.0.0.1:9400"
SCRAPE_CONFIG_PATH = "/opt/ferry/prometheus.yaml"
BOOT_LOG_PATH = "/var/log/ferry/node.log"


def agent_config(*, region: str, engine: str, log_group: str) -> dict[str, Any]:
    """The agent's own configuration, a JSON document."""
    return {
        "agent": {"region": region},
        "logs": {
            # Seconds. A node that fails to boot has little time to say why before its group terminates it.
            "force_flush_interval": 5,
            "logs_collected": {
                "files": {
                    "collect_list": [
                        {
                            "file_path": BOOT_LOG_PATH,
                            "log_group_name": log_group,
                            "log_stream_name": "{instance_id}/node",
                        }
                    ]
                }
            },
            "metrics_collected": {
                "prometheus": {
                    "prometheus_config_path": SCRAPE_CONFIG_PATH,
                    "log_group_name": log_group,
                    "emf_processor": {
                        "metric_namespace": NAMESPACE,
                        "metric_declaration": [
                            {
                                "source_labels": ["job"],
                                "label_matcher": f"^{job}$",
                                "dimensions": [[DIMENSION]],
                                "metric_selectors": [f"^{re.escape(name)}$" for name in names],
                            }
                            for job, names in _jobs(engine).items()
                        ],
                    },
                }
            },
        },
    }


def scrape_config(*, engine: str, group_name: str) -> dict[str, Any]:
    """The agent's Prometheus configuration, a YAML document: one value of each gauge a minute, nothing else kept.

    What is scraped and not sent as a metric would still be written to the log group, and paid for.
    """
    addresses = {"engine": ENGINE_ADDRESS, "node": NODE_METRICS_ADDRESS}
    return {
        "global": {"scrape_interval": "1m", "scrape_timeout": "30s"},
        "scrape_configs": [
            {
                "job_name": job,
                "static_configs": [{"targets": [addresses[job]], "labels": {DIMENSION: group_name}}],
                "metric_relabel_configs": [
                    {"source_labels": ["__name__"], "regex": "|".join(map(re.escape, names)), "action": "keep"}
                ],
            }
            for job, names in _jobs(engine).items()
        ],
    }


def _jobs(engine: str) -> dict[str, tuple[str, ...]]:
    return {"engine": ENGINES[engine].gauges, "node": NODE_GAUGES}
