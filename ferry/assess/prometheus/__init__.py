"""Prometheus's metrics of engines, GPUs and servers: saved pages, saved answers, or a live server.

`reader` opens a file and decides between `exposition` (a /metrics page) and `response` (an API answer); `server` speaks
the HTTP API and `questions` holds what is asked of it. All of them give a Page of Series (`series`). `engines` has the
names that engines gave to things, `engine` what they say of the model that is assessed, by way of `distributions`,
`quantiles` and `hours`; `cluster` does the same for GPUs and servers.
"""

from ferry.assess.prometheus.cluster import ClusterReading, cluster_metrics
from ferry.assess.prometheus.engine import EngineReading, engine_metrics
from ferry.assess.prometheus.engines import engines_in
from ferry.assess.prometheus.questions import ask_cluster, ask_engine
from ferry.assess.prometheus.reader import read
from ferry.assess.prometheus.server import Access

__all__ = [
    "Access",
    "ClusterReading",
    "EngineReading",
    "ask_cluster",
    "ask_engine",
    "cluster_metrics",
    "engine_metrics",
    "engines_in",
    "read",
]
