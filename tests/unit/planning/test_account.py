"""What an account allows of a plan. The answers are botocore's stubs: nothing is emulated, nothing is reached."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ferry.artefacts import Plan
from ferry.catalog.aws import Clients
from ferry.cli import app
from ferry.errors import CatalogError
from ferry.planning.account import Line, check_account, describe
from tests.aws_answers import Answers
from tests.plans import make_plan


def plan(name: str = "g5.xlarge", most: int = 4) -> Plan:
    made = make_plan()
    return made.model_copy(
        update={"chosen": made.chosen.model_copy(update={"instance_type": name, "min_size": 1, "max_size": most})}
    )


def quota(answers: Answers, code: str, value: float) -> None:
    request = {"ServiceCode": "ec2", "QuotaCode": code}
    answers.add("service-quotas", "us-east-1", "get_service_quota", {"Quota": {"Value": value}}, request)


def zones(answers: Answers, *names: str, of: str = "g5.xlarge") -> None:
    request = {"LocationType": "availability-zone", "Filters": [{"Name": "instance-type", "Values": [of]}]}
    offers = [{"InstanceType": of, "Location": name} for name in names]
    answers.add("ec2", "us-east-1", "describe_instance_type_offerings", {"InstanceTypeOfferings": offers}, request)


def scores(answers: Answers, *found: int, of: str = "g5.xlarge", count: int = 4) -> None:
    request = {
        "InstanceTypes": [of],
        "TargetCapacity": count,
        "SingleAvailabilityZone": False,
        "RegionNames": ["us-east-1"],
    }
    answer = {"SpotPlacementScores": [{"Region": "us-east-1", "Score": score} for score in found]}
    answers.add("ec2", "us-east-1", "get_spot_placement_scores", answer, request)


def test_an_account_with_room_is_ready() -> None:
    answers = Answers()
    quota(answers, "L-DB2E81BA", 16)  # 4 x 4 vCPU
    zones(answers, "us-east-1b", "us-east-1a")
    quota(answers, "L-3819A6DF", 64)
    scores(answers, 9)
    found = check_account(plan(), answers)
    answers.all_asked()
    assert found.ready
    assert [line.found for line in found.lines] == [
        "16 vCPU, 4 x g5.xlarge needs 16",
        "us-east-1a, us-east-1b",
        "64 vCPU, 4 x g5.xlarge, only if Spot is used needs 16",
        "9 of 10, likely to be met",
    ]


def test_a_new_account_is_told_which_quota_to_ask_for() -> None:
    answers = Answers()
    quota(answers, "L-417A185B", 0)
    zones(answers, "us-east-1a", "us-east-1b", of="p5.48xlarge")
    quota(answers, "L-C4BD4855", 0)
    scores(answers, 1, of="p5.48xlarge", count=2)
    found = check_account(plan("p5.48xlarge", 2), answers)
    answers.all_asked()
    assert not found.ready
    assert found.lines[0] == Line(
        "quota Running On-Demand P instances (L-417A185B)",
        "0 vCPU, 2 x p5.48xlarge needs 384",
        "missing",
        "aws service-quotas request-service-quota-increase --service-code ec2 --quota-code L-417A185B "
        "--desired-value 384 --region us-east-1",
    )
    assert found.lines[2].state == "unknown"  # Spot is not what the plan uses
    assert found.lines[3].found == "1 of 10, unlikely to be met: keep the fleet on demand"
    assert "the account in us-east-1: something is missing" in describe(found)
    assert "--desired-value 384" in describe(found)


@pytest.mark.parametrize(
    ("name", "on_demand", "spot"),
    [
        ("g6.xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("gr6.4xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("p4d.24xlarge", "L-417A185B", "L-7212CCBC"),
        ("p5.4xlarge", "L-417A185B", "L-C4BD4855"),
        ("p6-b200.48xlarge", "L-417A185B", None),
    ],
)
def test_each_family_has_its_quotas(name: str, on_demand: str, spot: str | None) -> None:
    answers = Answers()
    quota(answers, on_demand, 10_000)
    zones(answers, "us-east-1a", "us-east-1b", of=name)
    if spot is not None:
        quota(answers, spot, 10_000)
    scores(answers, 5, of=name)
    assert check_account(plan(name), answers).ready
    answers.all_asked()


def test_one_zone_is_not_enough() -> None:
    answers = Answers()
    quota(answers, "L-DB2E81BA", 16)
    zones(answers, "us-east-1a")
    quota(answers, "L-3819A6DF", 64)
    scores(answers)
    found = check_account(plan(), answers)
    assert found.lines[1] == Line(
        "zones that offer g5.xlarge", "us-east-1a; a fleet needs 2", "missing", "plan for another region with --region"
    )
    assert found.lines[3] == Line("Spot placement score of 4 x g5.xlarge", "AWS gives none", "unknown")


def test_what_may_not_be_read_is_unknown_with_the_reason() -> None:
    answers = Answers()
    answers.refuse("service-quotas", "us-east-1", "get_service_quota", "AccessDeniedException", "not you")
    zones(answers, "us-east-1a", "us-east-1b")
    quota(answers, "L-3819A6DF", 64)
    answers.refuse("ec2", "us-east-1", "get_spot_placement_scores", "UnsupportedOperation", "not in this partition")
    found = check_account(plan(), answers)
    assert [line.state for line in found.lines] == ["unknown", "ok", "ok", "unknown"]
    assert found.lines[0].found == "AWS refuses GetServiceQuota with AccessDeniedException: not you"
    assert found.dump()["lines"][3]["found"].endswith("UnsupportedOperation: not in this partition")


class Nobody(Clients):
    """Clients without credentials."""

    def client(self, service: str, region: str) -> Any:
        from botocore.exceptions import NoCredentialsError

        raise NoCredentialsError


def test_without_credentials_nothing_is_guessed() -> None:
    with pytest.raises(CatalogError, match="no AWS credentials"):
        check_account(plan(), Nobody())


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_says_it_beside_the_plan(
    make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    answers = Answers()
    quota(answers, "L-DB2E81BA", 0)
    zones(answers, "us-east-1a", "us-east-1b")
    quota(answers, "L-3819A6DF", 64)
    monkeypatch.setattr(Clients, "client", lambda self, service, region: answers.client(service, region))
    monkeypatch.chdir(tmp_path)
    make.assessment().write(tmp_path / "assessment.yaml")
    wanted = ["plan", "assessment.yaml", "--env", "dev", "--check-account", *(["--json"] if as_json else [])]
    done = CliRunner().invoke(app, wanted)
    assert done.exit_code == 0
    if as_json:
        account = json.loads(done.stdout)["account"]
        assert (account["ready"], account["lines"][0]["state"]) == (False, "missing")
        assert account["lines"][3]["state"] == "unknown"
    else:
        assert "the account in us-east-1: something is missing" in done.stdout
        assert "L-DB2E81BA" in done.stdout


def test_without_credentials_no_plan_is_written(
    make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clients, "client", Nobody.client)
    monkeypatch.chdir(tmp_path)
    make.assessment().write(tmp_path / "assessment.yaml")
    failed = CliRunner().invoke(app, ["plan", "assessment.yaml", "--env", "dev", "--check-account"])
    assert isinstance(failed.exception, CatalogError)
    assert [path.name for path in tmp_path.iterdir()] == ["assessment.yaml"]
