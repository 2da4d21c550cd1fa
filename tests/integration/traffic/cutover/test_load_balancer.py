"""The cloud's weights against the embedded account: same steps, and somebody else's share is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from ferry.errors import GatewayError, Superseded, TrafficError
from ferry.rehearsal.account import EmbeddedAccount
from ferry.traffic.cutover.cloudwatch import ListenerLogs
from ferry.traffic.cutover.load_balancer import ListenerWeights
from ferry.traffic.cutover.state import HOME, Division, Mark

TEN, HALF = Division(candidate=10), Division(candidate=50)


@pytest.fixture
def elbv2(account: EmbeddedAccount) -> Any:
    return account.client("elbv2")


@pytest.fixture
def listener(account: EmbeddedAccount, elbv2: Any) -> Callable[..., str]:
    """A listener that forwards to one target group for each version."""

    def make(**weights: int) -> str:
        ec2 = account.client("ec2")
        subnets = ec2.describe_subnets()["Subnets"][:2]
        made = elbv2.create_load_balancer(Name="ferry", Subnets=[one["SubnetId"] for one in subnets])
        groups = []
        for version, weight in weights.items():
            group = elbv2.create_target_group(Name=f"t-{version}", Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"])
            arn = group["TargetGroups"][0]["TargetGroupArn"]
            elbv2.add_tags(ResourceArns=[arn], Tags=[{"Key": "Name", "Value": f"ferry-{version}"}])
            groups.append({"TargetGroupArn": arn, "Weight": weight})
        stickiness = {"Enabled": True, "DurationSeconds": 60}
        forward = {"TargetGroups": groups, "TargetGroupStickinessConfig": stickiness}
        arn: str = elbv2.create_listener(
            LoadBalancerArn=made["LoadBalancers"][0]["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "Order": 1, "ForwardConfig": forward}],
        )["Listeners"][0]["ListenerArn"]
        return arn

    return make


def weights_of(elbv2: Any, arn: str) -> list[int]:
    (listener,) = elbv2.describe_listeners(ListenerArns=[arn])["Listeners"]
    return [one["Weight"] for one in listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]]


def test_shares_move_in_one_change_and_all_else_of_the_listener_stays(elbv2: Any, listener: Callable[..., str]) -> None:
    arn = listener(old=100, new=0)
    found = ListenerWeights.find(elbv2, arn, "old", "new")
    assert found.standing(7).division == HOME
    assert found.take_over(7) == 8
    found.set(TEN, before=HOME, fence=8)
    found.set(HALF, before=TEN, fence=8)
    assert weights_of(elbv2, arn) == [50, 50]
    found.set(HOME, before=HOME, fence=8)
    (described,) = elbv2.describe_listeners(ListenerArns=[arn])["Listeners"]
    (action,) = described["DefaultActions"]
    assert weights_of(elbv2, arn) == [100, 0]
    assert action["ForwardConfig"]["TargetGroupStickinessConfig"]["DurationSeconds"] == 60


def test_a_share_that_somebody_else_set_is_left_alone(elbv2: Any, listener: Callable[..., str]) -> None:
    arn = listener(old=70, new=30)
    found = ListenerWeights.find(elbv2, arn, "old", "new")
    with pytest.raises(Superseded, match=r"new has 30 %, this controller left it 10 %"):
        found.set(HALF, before=TEN, fence=1)
    assert weights_of(elbv2, arn) == [70, 30]


@dataclass
class Unsure:
    """An account that makes the change and does not say so: the link broke."""

    elbv2: Any
    goes_on: bool
    """The link is back when it is asked the next time."""
    broken: bool = False

    def modify_listener(self, **asked: Any) -> None:
        self.elbv2.modify_listener(**asked)
        self.broken = not self.goes_on
        raise ReadTimeoutError(endpoint_url="https://elasticloadbalancing")

    def describe_listeners(self, **asked: Any) -> Any:
        if self.broken:
            raise EndpointConnectionError(endpoint_url="https://elasticloadbalancing")
        return self.elbv2.describe_listeners(**asked)


def test_a_change_of_which_nobody_knows_whether_it_was_made_is_not_called_refused(
    elbv2: Any, listener: Callable[..., str]
) -> None:
    arn = listener(old=100, new=0)
    found = replace(ListenerWeights.find(elbv2, arn, "old", "new"), elbv2=Unsure(elbv2, goes_on=False))
    with pytest.raises(TrafficError, match=r"10 % or still 0 %.*`ferry cutover resume`") as unsure:
        found.set(TEN, before=HOME, fence=1)
    assert not isinstance(unsure.value, GatewayError)  # which says that traffic is as it was
    assert weights_of(elbv2, arn) == [90, 10]


def test_a_change_that_was_made_counts_although_its_answer_was_lost(elbv2: Any, listener: Callable[..., str]) -> None:
    arn = listener(old=100, new=0)
    found = replace(ListenerWeights.find(elbv2, arn, "old", "new"), elbv2=Unsure(elbv2, goes_on=True))
    found.set(TEN, before=HOME, fence=1)
    assert weights_of(elbv2, arn) == [90, 10]


def test_a_third_version_with_a_share_is_refused(elbv2: Any, listener: Callable[..., str]) -> None:
    arn = listener(old=60, new=20, third=20)
    with pytest.raises(TrafficError, match="this cutover is between old and new"):
        ListenerWeights.find(elbv2, arn, "old", "new").standing(0)


@pytest.mark.parametrize("baseline, candidate", [("old", "never"), ("old", "old")])  # noqa: PT006
def test_versions_that_it_does_not_divide_between_are_refused(
    elbv2: Any, listener: Callable[..., str], baseline: str, candidate: str
) -> None:
    arn = listener(old=100, new=0)
    with pytest.raises(TrafficError, match=r"ferry-new, ferry-old|both old"):
        ListenerWeights.find(elbv2, arn, baseline, candidate)


def test_a_listener_that_is_not_there_is_one_line(elbv2: Any, listener: Callable[..., str]) -> None:
    arn = listener(old=100, new=0)
    elbv2.delete_listener(ListenerArn=arn)
    with pytest.raises(GatewayError, match=r"ListenerNotFound.*traffic stays as it was") as refused:
        ListenerWeights.find(elbv2, arn, "old", "new")
    assert "\n" not in str(refused.value)


def test_without_a_request_that_names_a_version_it_says_what_cannot_be_tested(
    account: EmbeddedAccount, elbv2: Any, listener: Callable[..., str], tmp_path: Path
) -> None:
    arn = listener(old=100, new=0)
    found = ListenerWeights.find(elbv2, arn, "old", "new")
    log = tmp_path / "access.jsonl"
    log.write_text("")
    logs = ListenerLogs(found, account.client("cloudwatch"), log)
    logs.begin({}, mirrored=False)
    seen = logs.look()
    assert (seen.baseline, seen.candidate) == ((), ())
    assert "new: 0 requests, 0 errors, response begins by unknown" in str(seen.finding)
    assert "cut answers cannot be tested from that" in str(seen.finding)
    lines = [
        f'{{"start_time": "2026-11-24T00:00:00.000Z", "duration_ms": 5, "status": 200, "model_version": "{name}"}}\n'
        for name in ("old", "new", "other")
    ]
    log.write_text("".join(lines))
    logs.begin({log.name: Mark()}, mirrored=False)
    seen = logs.look()
    assert ([one.model_version for one in seen.baseline], seen.finding) == (["old"], None)
    assert [one.model_version for one in seen.candidate] == ["new"]
    assert logs.candidate_is_down()
