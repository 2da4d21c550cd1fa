"""The same steps in the cloud: weights of two model versions' target groups at a load balancer's listener.

An ALB keeps no generation and has no conditional write, so the fence is weaker than the gateway's: what the listener
says is read right before and after each write, and a share that this controller did not leave there is somebody
else's. Two writers within the same second are found by the one who reads last.
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_ModifyListener.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ferry.errors import GatewayError, Superseded, TrafficError
from ferry.traffic.cutover.state import Division
from ferry.traffic.cutover.warmth import Warmth
from ferry.traffic.cutover.weights import Standing


@dataclass(frozen=True)
class ListenerWeights:
    """The default action's forward to target groups, one for each model version."""

    elbv2: Any
    listener_arn: str
    baseline: str
    """Model versions, as ferry:model_versions names them."""
    candidate: str
    target_groups: Mapping[str, str]
    """Version to ARN."""
    can_mirror: bool = False
    longest_tick_seconds: float = 10.0
    """AWS throttles who asks each second, and its metrics have one value a minute."""

    @classmethod
    def find(cls, elbv2: Any, listener_arn: str, baseline: str, candidate: str) -> ListenerWeights:
        """Of a listener, whose target groups are known by the name that the stack tagged them with (`Name`: …-VERSION).

        Raises GatewayError where the account does not answer, or has no such listener; TrafficError for versions that
        the listener does not divide between.
        """
        with _asking(listener_arn):
            arns = [one["TargetGroupArn"] for one in _forward(_actions(elbv2, listener_arn))["TargetGroups"]]
            described = elbv2.describe_tags(ResourceArns=arns)["TagDescriptions"]
        names = {one["ResourceArn"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in described}
        found = {}
        for version in (baseline, candidate):
            of_it = [arn for arn in arns if names.get(arn, {}).get("Name", "").endswith(f"-{version}")]
            if len(of_it) != 1:
                known = ", ".join(sorted(tags.get("Name", "no name") for tags in names.values()))
                raise TrafficError(
                    f"{listener_arn}: {len(of_it)} target groups of the version {version}, not 1; it has: {known}"
                )
            found[version] = of_it[0]
        if baseline == candidate:
            raise TrafficError(f"baseline and candidate are both {candidate}; name two versions")
        return cls(elbv2, listener_arn, baseline, candidate, found)

    def standing(self, generation: int) -> Standing:
        """What the listener says. Raises TrafficError where a third version has a share."""
        with _asking(self.listener_arn):
            groups = _forward(_actions(self.elbv2, self.listener_arn))["TargetGroups"]
        weights = {one["TargetGroupArn"]: int(one.get("Weight", 1)) for one in groups}
        whole = sum(weights.values())
        own = {name: weights.get(arn, 0) for name, arn in self.target_groups.items()}
        if not whole or sum(own.values()) != whole:
            raise TrafficError(
                f"{self.listener_arn}: weights {weights}, and this cutover is between {self.baseline} and "
                f"{self.candidate}; give all traffic to one of them first"
            )
        return Standing(Division(candidate=round(100 * own[self.candidate] / whole)), generation)

    def take_over(self, above: int) -> int:
        """The generation stands in this machine's state only."""
        return above + 1

    def set(self, division: Division, *, before: Division, fence: int) -> None:
        """One ModifyListener with all other actions as they are, then read back.

        Raises Superseded where the listener has neither what this controller left nor what it is to have, and
        TrafficError, no GatewayError, where nobody can tell whether the change was made.
        """
        found = self.standing(fence).division
        if found == division:
            return
        if found != before and before != division:
            raise Superseded(
                f"{self.listener_arn}: {self.candidate} has {found}, this controller left it {before}: somebody else "
                "changes the listener; this controller changes nothing any more"
            )
        refused = self._modified(division)
        try:
            now = self.standing(fence).division
        except GatewayError as error:
            raise TrafficError(
                f"{self.listener_arn}: was told to change, and cannot be asked: {self.candidate} has {division} or "
                f"still {found}; `ferry cutover resume` finds out and goes on from there"
            ) from error
        if refused is not None and now == found:
            raise refused
        if now != division:
            raise Superseded(f"{self.listener_arn}: {self.candidate} has {now} right after it was given {division}")

    def warmth(self) -> Warmth:
        """Of the baseline: its target group's own health checks, since nobody here reaches a node."""
        healthy, members = self._healthy(self.baseline)
        state = f"{healthy} of {members} targets of {self.baseline} are healthy"
        return Warmth("warm" if healthy else "cold", state)

    def candidate_is_down(self) -> bool:
        """Whether the candidate has no healthy target."""
        return self._healthy(self.candidate)[0] == 0

    def _modified(self, division: Division) -> GatewayError | None:
        """Why AWS says that it did not; it may have all the same, where the link broke after the question."""
        try:
            with _asking(self.listener_arn):
                actions = [self._divided(action, division) for action in _actions(self.elbv2, self.listener_arn)]
                self.elbv2.modify_listener(ListenerArn=self.listener_arn, DefaultActions=actions)
        except GatewayError as error:
            return error
        return None

    def _healthy(self, version: str) -> tuple[int, int]:
        with _asking(self.listener_arn):
            found = self.elbv2.describe_target_health(TargetGroupArn=self.target_groups[version])
        states = [one["TargetHealth"]["State"] for one in found["TargetHealthDescriptions"]]
        return states.count("healthy"), len(states)

    def _divided(self, action: Mapping[str, Any], division: Division) -> dict[str, Any]:
        if action["Type"] != "forward":
            return dict(action)
        shares = {self.baseline: 100 - division.candidate, self.candidate: division.candidate}
        forward = dict(_forward([action]))
        by_arn = {arn: shares[name] for name, arn in self.target_groups.items()}
        forward["TargetGroups"] = [
            {"TargetGroupArn": one["TargetGroupArn"], "Weight": by_arn.get(one["TargetGroupArn"], 0)}
            for one in forward["TargetGroups"]
        ]
        # Of several groups, AWS takes the list alone.
        return {key: value for key, value in action.items() if key != "TargetGroupArn"} | {"ForwardConfig": forward}


def _actions(elbv2: Any, listener_arn: str) -> list[dict[str, Any]]:
    (listener,) = elbv2.describe_listeners(ListenerArns=[listener_arn])["Listeners"]
    actions: list[dict[str, Any]] = listener["DefaultActions"]
    return actions


def _forward(actions: list[Any]) -> Mapping[str, Any]:
    for action in actions:
        if action["Type"] == "forward":
            alone = {"TargetGroups": [{"TargetGroupArn": action.get("TargetGroupArn"), "Weight": 1}]}
            forward: Mapping[str, Any] = action.get("ForwardConfig") or alone
            return forward
    raise TrafficError("the listener's default action forwards to no target group; `pulumi up` makes it")


@contextmanager
def _asking(listener_arn: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError, ResponseParserError) as error:
        raise GatewayError(f"{listener_arn}: {' '.join(str(error).split())}; traffic stays as it was") from error
