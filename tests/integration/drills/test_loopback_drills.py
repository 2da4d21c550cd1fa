"""Drills on a real Envoy, stub engines and the copied account: what is broken there is missed, and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ferry.artefacts import Drill
from ferry.drills import (
    audit_tamper,
    bad_release,
    cloud_unreachable,
    home_loss,
    model_corruption,
    token_leak,
)
from ferry.drills.scene import Scene
from ferry.drills.timings import Timings
from ferry.rehearsal.account import EmbeddedAccount
from tests.conftest import Rehearsed

Break = Callable[[EmbeddedAccount, dict[str, Any]], object]
Drilled = Callable[..., Drill]


@pytest.fixture
def drilled(own_rehearsed: Callable[[str], Rehearsed], tmp_path: Path) -> Drilled:
    """A drill of a stack, on a copy of its account in which something was broken first."""

    def run(
        drill: Callable[[Scene], Drill],
        environment: str = "prod",
        broken: Break = lambda account, outputs: None,
        **changes: Any,
    ) -> Drill:
        own = own_rehearsed(environment)
        broken(own.account, dict(own.stack.outputs))
        scene: dict[str, Any] = {
            "account": own.account,
            "settings": own.stack.settings,
            "outputs": own.stack.outputs,
            "timings": Timings(),
            "target_s": 900,
            "scratch": tmp_path,
        }
        return drill(Scene(**scene | changes))

    return run


def phases(drill: Drill) -> list[str]:
    return [moment.phase for moment in drill.timeline if moment.phase != "note"]


def told(drill: Drill, part: str) -> int:
    return sum(part in moment.what for moment in drill.timeline)


# ---- bad-release ----


@pytest.mark.tool("envoy")
def test_the_gate_brings_traffic_home_from_a_bad_release_and_only_that_release_loses_requests(drilled: Drilled) -> None:
    done = drilled(bad_release.drill)
    assert phases(done) == ["fault", "detected", "decided", "recovered"]
    assert done.fault == "the release in the cloud answers half of its requests with 500, at 50 % of a cutover"
    assert told(done, "the gate: ") == 1
    assert (done.missing, done.passed) == ([], True)
    assert (done.lost_requests or 0) > 0


@pytest.mark.tool("envoy")
def test_a_policy_whose_gate_tolerates_every_error_is_missed(
    drilled: Drilled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "site-canary.yaml"
    policy.write_text("schema: ferry/canary/v1\ngate: {tolerated_error_excess: 0.99}\n", encoding="utf-8")
    monkeypatch.setattr(bad_release, "PATIENCE_S", 4.0)
    done = drilled(bad_release.drill, policy=policy)
    assert (phases(done), done.passed) == (["fault"], False)
    [missing] = done.missing
    assert missing.startswith(f"{policy}: gate: {{tolerated_error_excess: 0.99}}: ")
    assert missing.endswith("leave gate out for the default one")


def test_a_policy_without_a_gate_is_missed_as_the_cutover_refuses_it(drilled: Drilled, tmp_path: Path) -> None:
    policy = tmp_path / "site-canary.yaml"
    policy.write_text("schema: ferry/canary/v1\ngate: off\n", encoding="utf-8")
    done = drilled(bad_release.drill, policy=policy)
    assert done.missing == [
        f"{policy}: gate: traffic moves by evidence only: leave gate out for the default one, or give its settings, "
        "given False; `ferry cutover start` refuses it, too"
    ]
    assert not done.passed


# ---- cloud-unreachable, home-loss ----


@pytest.mark.tool("envoy")
def test_without_the_cloud_home_answers_and_a_rollback_needs_no_cloud(drilled: Drilled) -> None:
    done = drilled(cloud_unreachable.drill)
    assert sorted(phases(done)) == ["decided", "detected", "fault", "recovered"]
    assert (done.missing, done.passed) == ([], True)
    assert told(done, "`ferry rollback`: everything goes home") == 1


@pytest.mark.tool("envoy")
def test_a_room_without_gateways_in_the_cloud_is_a_single_point_of_failure(drilled: Drilled) -> None:
    done = drilled(home_loss.drill, "staging")
    assert told(done, "its supervisor starts it again: nobody was served for ") == 1
    assert done.missing == [
        "gateway_tier: none; every request crosses the room, which is a single point of failure: give the gateway a "
        "group of its own in the cloud, with a record"
    ]
    assert (done.mttr_s, done.passed) == (None, False)


# ---- token-leak ----


@pytest.mark.tool("envoy")
def test_a_leaked_token_is_refused_by_its_id_and_then_its_key_is_ended(drilled: Drilled) -> None:
    done = drilled(token_leak.drill)
    assert phases(done) == ["fault", "detected", "decided", "recovered"]
    assert told(done, "Envoy refuses it (403), and the tenant's other token is good") == 1
    assert told(done, "all that the key signed is refused (401), a new token is good") == 1
    assert [moment.at_s for moment in done.timeline if "load balancer" in moment.what] == [900]
    assert (done.missing, done.passed) == ([], True)


@pytest.mark.tool("envoy")
def test_a_load_balancer_that_is_open_to_all_takes_a_revoked_token(drilled: Drilled) -> None:
    def opened(account: EmbeddedAccount, outputs: dict[str, Any]) -> None:
        arns = [outputs["load_balancer_arn"]]
        [found] = account.client("elbv2").describe_load_balancers(LoadBalancerArns=arns)["LoadBalancers"]
        account.client("ec2").authorize_security_group_ingress(
            GroupId=found["SecurityGroups"][0], IpProtocol="tcp", FromPort=443, ToPort=443, CidrIp="0.0.0.0/0"
        )

    done = drilled(token_leak.drill, broken=opened)
    [missing] = done.missing
    assert missing.startswith("gateway.allowed_cidrs: 0.0.0.0/0; ")
    assert not done.passed


def test_where_nobody_is_asked_for_a_token_none_can_leak(drilled: Drilled) -> None:
    done = drilled(token_leak.drill, "dev")
    assert done.skipped == "gateway.jwt: none; the stack asks nobody for a token, so none can leak"


# ---- audit-tamper ----


@pytest.mark.tool("envoy")
def test_an_archive_that_is_locked_is_found_altered_and_restored_from_what_the_lock_keeps(drilled: Drilled) -> None:
    done = drilled(audit_tamper.drill)
    assert phases(done) == ["fault", "detected", "decided", "recovered"]
    assert told(done, "with the policy in place, S3 refuses all of it") == 1
    assert told(done, "the lock still refuses to delete the version itself") == 1
    assert told(done, "/000000000000.jsonl:4: sequence 3: was altered; with --account, 2 hidden or replaced") == 1
    assert (done.missing, done.passed) == ([], True)


@pytest.mark.tool("envoy")
def test_an_archive_without_a_lock_loses_what_is_deleted_for_good(drilled: Drilled) -> None:
    done = drilled(audit_tamper.drill, "dev")
    assert phases(done) == ["fault", "detected", "decided"]
    assert told(done, "the version itself is deleted: what it held is gone for good") == 1
    assert len(done.missing) == 2
    assert all(sentence.startswith("ferry:audit.mode: ") for sentence in done.missing)
    assert not done.passed


@pytest.mark.tool("envoy")
def test_an_archive_without_its_policy_and_without_its_alarm_is_missed_for_both(drilled: Drilled) -> None:
    def broken(account: EmbeddedAccount, outputs: dict[str, Any]) -> None:
        account.client("s3").delete_bucket_policy(Bucket=outputs["audit_bucket"])
        events = account.client("events")
        for rule in events.list_rules()["Rules"]:
            if "weakened-bucket" in rule["Name"]:
                events.disable_rule(Name=rule["Name"])

    done = drilled(audit_tamper.drill, broken=broken)
    assert [sentence.partition(" ferry-audit")[0] for sentence in done.missing] == [
        "the policy of",
        "no enabled rule tells anybody that the policy of",
    ]
    assert (phases(done)[-1], done.passed) == ("recovered", False)


# ---- model-corruption ----


def suspended(account: EmbeddedAccount, outputs: dict[str, Any]) -> None:
    account.client("s3").put_bucket_versioning(
        Bucket=outputs["model_bucket"], VersioningConfiguration={"Status": "Suspended"}
    )


def test_a_changed_model_is_refused_before_it_is_served_and_restored_from_the_version_before(drilled: Drilled) -> None:
    done = drilled(model_corruption.drill)
    assert phases(done) == ["fault", "detected", "decided", "recovered"]
    assert told(done, "the pull refuses it before anything is served: is signed for ") == 1
    assert told(done, "with its manifest back: CRC64NVME is ") == 1
    assert told(done, "restored from the bucket's earlier version: pulled whole") == 1
    assert (done.missing, done.passed) == ([], True)


def test_a_model_in_a_bucket_that_keeps_no_versions_is_restored_from_the_replica(drilled: Drilled) -> None:
    done = drilled(model_corruption.drill, broken=suspended)
    assert told(done, "restored from the replica ferry-models-replica-") == 1
    assert (done.missing, done.passed) == ([], True)


def test_a_model_without_versions_and_without_replication_cannot_be_restored(drilled: Drilled) -> None:
    def broken(account: EmbeddedAccount, outputs: dict[str, Any]) -> None:
        suspended(account, outputs)
        account.client("s3").delete_bucket_replication(Bucket=outputs["model_bucket"])

    done = drilled(model_corruption.drill, broken=broken)
    assert phases(done) == ["fault", "detected", "decided"]
    [missing] = done.missing
    assert missing.startswith("ferry:model_repository.replica_region: none; versioning of ferry-models-")
    assert not done.passed
