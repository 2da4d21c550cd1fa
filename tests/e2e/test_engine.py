"""Under the real engine, with the Pulumi CLI: what is planned, what is done, and what it refuses.

FERRY_SOAK=1 compares both fronts' accounts for all four stacks.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import ferry.rehearsal.handlers
from ferry.errors import RehearsalError
from ferry.provisioning.command import Command
from ferry.provisioning.drift import differences
from ferry.provisioning.preview import changes
from ferry.rehearsal import serve_change, serve_stack
from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.checks import Stack
from ferry.rehearsal.engine.session import Session
from ferry.rehearsal.engine.steps import Steps
from stacks.settings import Settings
from tests.accounts import differences as differing
from tests.accounts import told
from tests.conftest import import_all
from tests.gateways import wait_until

pytestmark = pytest.mark.pulumi_cli

REPOSITORY = Path(__file__).resolve().parents[2]
SOAK = os.environ.get("FERRY_SOAK")

PROGRAM = """
import pulumi
import pulumi_aws as aws

config = pulumi.Config()
bucket = aws.s3.Bucket("models", bucket="models", tags={"team": config.get("team") or "site"},
                       object_lock_enabled=config.get_bool("locked") or False,
                       opts=pulumi.ResourceOptions(protect=True))
aws.s3.BucketVersioning("models", bucket=bucket.bucket, versioning_configuration={"status": "Enabled"})
topic = aws.sns.Topic("alarms", kms_master_key_id=pulumi.Output.secret("alias/top-secret"))


def used(arn):
    assert arn is not None, "a preview must not run this with a value that it does not know"
    return arn


aws.cloudwatch.MetricAlarm("busy", comparison_operator="GreaterThanThreshold", evaluation_periods=2, period=60,
                           metric_name="load", namespace="ferry", statistic="Average",
                           threshold=config.get_float("threshold") or 0.8, alarm_actions=[topic.arn.apply(used)])
pulumi.export("topic", topic.arn)
pulumi.export("model_bucket", bucket.bucket)
"""

CONFIG = {"aws:region": "us-east-1"}


@pytest.fixture
def session(account: Any, tmp_path: Path) -> Iterator[Session]:
    import_all(ferry.rehearsal.handlers)
    project = tmp_path / "ours"
    project.mkdir()
    (project / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    opened = Session(tmp_path / "run", project, "qa", account)
    yield opened
    opened.close()


def acted(steps: Steps) -> list[tuple[str, str, list[str]]]:
    return sorted((one.action, one.name, one.properties) for one in steps.changes)


def test_the_first_up_creates_and_the_second_changes_nothing(session: Session, account: Any) -> None:
    planned = session.preview(CONFIG)
    assert account.client("s3").list_buckets()["Buckets"] == []
    assert acted(planned) == [(("create"), name, []) for name in ("alarms", "busy", "models", "models")]
    assert acted(session.up(CONFIG)) == acted(planned)
    assert acted(session.up(CONFIG)) == []
    assert session.outputs()["model_bucket"] == "models"
    assert sum(session.resources().values()) == 4


def test_a_change_in_place_is_planned_and_done_in_place(session: Session, account: Any) -> None:
    session.up(CONFIG)
    after = CONFIG | {"ferry:threshold": "0.9"}
    assert acted(session.preview(after)) == [("update", "busy", ["threshold"])]
    assert acted(session.up(after)) == [("update", "busy", ["threshold"])]
    (alarm,) = account.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert alarm["Threshold"] == 0.9


def test_what_was_changed_behind_its_back_is_found_and_set_back(session: Session, account: Any) -> None:
    session.up(CONFIG)
    account.client("s3").put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Suspended"})
    (alarm,) = account.client("cloudwatch").describe_alarms()["MetricAlarms"]
    account.client("cloudwatch").delete_alarms(AlarmNames=[alarm["AlarmName"]])
    session.refresh()
    assert acted(session.up(CONFIG)) == [
        ("create", "busy", []),
        ("update", "models", ["versioningConfiguration"]),
    ]
    assert account.client("s3").get_bucket_versioning(Bucket="models")["Status"] == "Enabled"


def test_what_is_protected_is_neither_replaced_nor_destroyed(session: Session, account: Any) -> None:
    session.up(CONFIG)
    with pytest.raises(RehearsalError, match=r"Bucket::models.* marked for protection"):
        session.up(CONFIG | {"ferry:locked": "true"})
    with pytest.raises(RehearsalError, match="protected"):
        session.destroy()
    session.destroy(exclude_protected=True)
    assert session.resources() == {"aws:s3/bucket:Bucket": 1}
    assert [one["Name"] for one in account.client("s3").list_buckets()["Buckets"]] == ["models"]


def test_a_secret_stands_nowhere_in_the_state(session: Session, account: Any, tmp_path: Path) -> None:
    session.up(CONFIG)
    (topic,) = account.client("sns").list_topics()["Topics"]
    attributes = account.client("sns").get_topic_attributes(TopicArn=topic["TopicArn"])["Attributes"]
    assert attributes["KmsMasterKeyId"] == "alias/top-secret"
    written = [path.read_bytes() for path in (tmp_path / "run" / "state").rglob("*") if path.is_file()]
    assert written
    assert not any(b"top-secret" in text for text in written)


def test_an_engine_that_is_killed_goes_on_and_makes_nothing_twice(
    session: Session, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.preview(CONFIG)
    topic = ferry.rehearsal.handlers.HANDLERS["aws:sns/topic:Topic"]
    create, started = topic.create, []

    def create_and_kill(account: Any, inputs: Any) -> Any:
        made = create(account, inputs)
        started[0].kill()
        return made

    monkeypatch.setattr(topic, "create", create_and_kill)
    engine = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", "qa"],
        cwd=session.workspace.work_dir,
        env={**os.environ, **session.workspace.variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started.append(engine)
    assert engine.wait(120) == -signal.SIGKILL
    monkeypatch.setattr(topic, "create", create)
    wait_until(lambda: len(account.client("sns").list_topics()["Topics"]) == 1, 30)
    session.cancel()
    session.up(CONFIG)
    assert acted(session.up(CONFIG)) == []
    assert len(account.client("sns").list_topics()["Topics"]) == 1
    assert len(account.client("s3").list_buckets()["Buckets"]) == 1


def test_the_commands_preview_keep_the_plan_and_explain_drift(session: Session, account: Any, tmp_path: Path) -> None:
    session.up(CONFIG)
    command = Command(session.workspace.work_dir, "qa", {**os.environ, **session.workspace.variables})
    assert command.backend() == f"file://{tmp_path}/run/state"
    assert differences(command.refreshed()) == []
    session.workspace.configure(CONFIG | {"ferry:threshold": "0.7"})
    plan = tmp_path / "plan.json"
    assert [(one.action, one.name) for one in changes(command.preview(plan)[0])] == [("update", "busy")]
    command.up(plan)
    (alarm,) = account.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert alarm["Threshold"] == 0.7
    account.client("s3").put_bucket_tagging(
        Bucket="models", Tagging={"TagSet": [{"Key": "team", "Value": "intruders"}]}
    )
    (found,) = differences(command.refreshed())
    assert (found.name, found.property, found.expected, found.found, found.protected) == (
        "models",
        "tags",
        "{'team': 'site'}",
        "{'team': 'intruders'}",
        True,
    )


def test_a_change_from_one_stack_to_another_keeps_the_buckets(tmp_path: Path) -> None:
    before = REPOSITORY / "stacks" / "Pulumi.dev.yaml"
    text = before.read_text(encoding="utf-8")
    after = tmp_path / "Pulumi.dev-larger.yaml"
    after.write_text(text.replace("max_size: 2", "max_size: 3"), encoding="utf-8")
    assert after.read_text(encoding="utf-8") != text
    with serve_change("dev", str(after), REPOSITORY, artefact_folder=tmp_path) as served:
        rehearsal = served.rehearsal
    assert rehearsal.front.startswith("pulumi v")
    assert [check for check in rehearsal.checks if not check.passed] == []
    assert [(one.action, one.name) for one in rehearsal.changes or []] == [("update", "ferry-r1-7b-group")]
    kept = [check for check in rehearsal.checks if check.name == "the bucket was not replaced and holds what it held"]
    assert [check.resource.partition(" ")[0] for check in kept] == ["model_bucket", "audit_bucket"]


@pytest.mark.parametrize("environment", ("dev", "staging", "prod", "prod-cn") if SOAK else ("prod",))
def test_both_fronts_leave_the_same_account(rehearsed: Callable[[str], Any], tmp_path: Path, environment: str) -> None:
    in_process = rehearsed(environment)
    with ExitStack() as open_until_the_end:
        served = open_until_the_end.enter_context(
            serve_stack(environment, REPOSITORY, artefact_folder=tmp_path, engine="pulumi")
        )
        settings = Settings.load(REPOSITORY / "stacks" / f"Pulumi.{environment}.yaml")
        account = EmbeddedAccount(served.endpoint_url, settings.region)
        assert served.rehearsal.resources == in_process.served.rehearsal.resources
        assert [check for check in served.rehearsal.checks if not check.passed] == []
        by_the_engine = told(account, Stack(settings, served.rehearsal.outputs))
    assert len(by_the_engine) > 50
    assert differing(by_the_engine, told(in_process.account, in_process.stack)) == []
