"""What is seen of two versions behind a load balancer.

Where clients name a version in the version header, the gateway's log has their requests one by one, and the gate tests
them as it always does. Other requests are divided by the load balancer, and of those CloudWatch has counts and
percentiles for each target group: no single request, no time to first token, no time per token, no cut answer. From
these the gate's tests cannot be made, so a step without requests in the log is held, and says what CloudWatch knows.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ferry.traffic.cutover.load_balancer import ListenerWeights
from ferry.traffic.cutover.observation import Seen, end_of
from ferry.traffic.cutover.state import Mark
from ferry.traffic.requests import Offset, Reading, Request, read

PERIOD_SECONDS = 60
NAMESPACE = "AWS/ApplicationELB"
ASKED_EVERY_SECONDS = 60.0
"""The metrics have one value a minute."""


@dataclass
class ListenerLogs:
    """The gateway's log by model version, else CloudWatch's figures by target group."""

    weights: ListenerWeights
    cloudwatch: Any
    access_log: Path | None
    """None: there is no gateway here."""
    _offset: Offset = field(default_factory=Offset)
    _seen: int = 0
    _began: float = field(default_factory=time.time)
    _asked: float = 0.0
    _said: str = ""

    def marks(self) -> Mapping[str, Mark]:
        """The end of the gateway's log."""
        return {} if self.access_log is None else {self.access_log.name: end_of(self.access_log)}

    def begin(self, marks: Mapping[str, Mark], *, mirrored: bool) -> None:
        """Read from there on. A load balancer mirrors nothing."""
        self._offset = _offset(marks, self.access_log)
        self._seen, self._began, self._asked = 0, time.time(), 0.0

    def look(self) -> Seen:
        """New requests that named one of both versions."""
        if self.access_log is None:
            return Seen(finding=self._known())
        reading = read(self.access_log, self._offset)
        self._offset = reading.offset
        baseline, candidate = (_of(reading, name) for name in (self.weights.baseline, self.weights.candidate))
        self._seen += len(candidate)
        return Seen(baseline=baseline, candidate=candidate, finding=None if self._seen else self._known())

    def last_of_baseline(self, marks: Mapping[str, Mark]) -> tuple[Request, ...]:
        """Requests that named the baseline since then."""
        if self.access_log is None:
            return ()
        return _of(read(self.access_log, _offset(marks, self.access_log)), self.weights.baseline)

    def candidate_is_down(self) -> bool:
        """Whether the candidate has no healthy target."""
        return self.weights.candidate_is_down()

    def _known(self) -> str:
        now = time.time()
        if now - self._asked >= ASKED_EVERY_SECONDS:
            self._asked = now
            try:
                known = "; ".join(self._figures(name, now) for name in (self.weights.baseline, self.weights.candidate))
            except (ClientError, BotoCoreError) as error:
                known = f"and does not answer: {' '.join(str(error).split())}"
            self._said = (
                f"no request in the gateway's log names {self.weights.candidate}, and CloudWatch has counts and "
                f"percentiles only ({known}): time to first token, time per token and cut answers cannot be tested "
                "from that"
            )
        return self._said

    def _figures(self, version: str, now: float) -> str:
        group = self.weights.target_groups[version].rpartition(":")[2]
        balancer = self.weights.listener_arn.partition(":listener/")[2].rpartition("/")[0]
        dimensions = [{"Name": "TargetGroup", "Value": group}, {"Name": "LoadBalancer", "Value": balancer}]
        wanted = {
            "requests": ("RequestCount", "Sum"),
            "errors": ("HTTPCode_Target_5XX_Count", "Sum"),
            "p99": ("TargetResponseTime", "p99"),
        }
        found = self.cloudwatch.get_metric_data(
            MetricDataQueries=[
                {
                    "Id": name,
                    "MetricStat": {
                        "Metric": {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
                        "Period": PERIOD_SECONDS,
                        "Stat": statistic,
                    },
                }
                for name, (metric, statistic) in wanted.items()
            ],
            StartTime=datetime.fromtimestamp(self._began, UTC) - timedelta(seconds=PERIOD_SECONDS),
            EndTime=datetime.fromtimestamp(now, UTC) + timedelta(seconds=PERIOD_SECONDS),
        )["MetricDataResults"]
        values = {one["Id"]: one["Values"] for one in found}
        slowest = max(values.get("p99", []), default=None)
        p99 = "unknown" if slowest is None else f"{1000 * slowest:.0f} ms"
        requests, errors = (sum(values.get(name, [])) for name in ("requests", "errors"))
        return f"{version}: {requests:.0f} requests, {errors:.0f} errors, response begins by {p99} (P99 of a minute)"


def _of(reading: Reading, version: str) -> tuple[Request, ...]:
    return tuple(one for one in reading.requests if one.model_version == version)


def _offset(marks: Mapping[str, Mark], log: Path | None) -> Offset:
    mark = marks.get(log.name, Mark()) if log is not None else Mark()
    return Offset(inode=mark.inode, position=mark.position)
