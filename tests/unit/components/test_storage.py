from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from components.model_repository import bundle_key
from components.private_bucket import lifecycle_rule
from ferry.errors import RehearsalError

PROGRAM = """
    from pathlib import Path
    import pulumi
    from components.access_logs import AccessLogs, AccessLogsArgs
    from components.audit_archive import AuditArchive, AuditArchiveArgs
    from components.identity import Identity
    from components.model_repository import ModelRepository, ModelRepositoryArgs
    from stacks.settings import AuditSettings, ModelRepositorySettings

    config = pulumi.Config("ferry")
    identity = Identity.of_caller("us-east-1")
    protect = config.require("protect") == "true"
    tags = {"owner": "platform"}
    logs = AccessLogs("logs", AccessLogsArgs(identity=identity, retention_days=200, protect=protect, tags=tags))
    models = ModelRepository("models", ModelRepositoryArgs(
        identity=identity,
        repository=ModelRepositorySettings.model_validate(config.get_object("models") or {}),
        node_bundle=Path(config.get("bundle")) if config.get("bundle") else None,
        protect=protect,
        access_log_bucket=logs.bucket_name,
        tags=tags,
    ))
    audit = AuditArchive("audit", AuditArchiveArgs(
        identity=identity,
        environment="test",
        audit=AuditSettings.model_validate(config.get_object("audit") or {}),
        model_bucket_arns=models.bucket_arns,
        alarm_topic_arn=identity.arn("sns", "alarms"),
        access_log_bucket=logs.bucket_name,
        tags=tags,
    ))
    pulumi.export("logs", logs.bucket_name)
    pulumi.export("models", models.bucket_name)
    pulumi.export("replica", models.replica and models.replica.bucket_name)
    pulumi.export("bundle", models.node_bundle_key)
    pulumi.export("audit", audit.archive_bucket)
    pulumi.export("trail", audit.trail_arn)
"""


@dataclass
class Registered:
    """What the program asked the engine for, beyond the inputs that reach the account."""

    protected: set[str] = field(default_factory=set)
    force_destroyed: set[str] = field(default_factory=set)
    retained: set[str] = field(default_factory=set)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Registered:
    from pulumi.runtime import mocks

    seen = Registered()
    original = mocks.MockMonitor.RegisterResource

    def register(self: Any, request: Any) -> Any:
        if request.protect:
            seen.protected.add(request.name)
        if request.retainOnDelete:
            seen.retained.add(request.name)
        if request.custom and dict(request.object).get("forceDestroy"):
            seen.force_destroyed.add(request.name)
        return original(self, request)

    monkeypatch.setattr(mocks.MockMonitor, "RegisterResource", register)
    return seen


def test_what_has_to_last_is_protected_and_never_force_destroyed(run_program: Any, registered: Registered) -> None:
    run_program(PROGRAM, {"ferry:protect": "true", "ferry:models": {"replica_region": "us-west-2"}})
    assert registered.force_destroyed == set()
    of_every_bucket = ("bucket", "encryption", "lifecycle", "policy", "private", "versioning")
    assert registered.protected == {
        *(f"{name}-{what}" for name in ("logs", "models", "models-replica", "audit") for what in of_every_bucket),
        *("models-access-logs", "models-key", "models-replica-key"),
        *("audit-access-logs", "audit-key", "audit-lock", "audit-trail"),
    }


def test_a_disposable_stack_can_be_destroyed_with_everything_in_it(run_program: Any, registered: Registered) -> None:
    run = run_program(PROGRAM, {"ferry:protect": "false", "ferry:audit": {"mode": "disposable"}})
    assert registered.protected == set()
    assert registered.force_destroyed == {"logs-bucket", "models-bucket", "audit-bucket"}
    assert "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration" not in run.resources


def test_the_archive_locks_for_the_days_of_the_stack(run_program: Any, account: Any) -> None:
    outputs = run_program(PROGRAM, {"ferry:protect": "true", "ferry:audit": {"retention_days": 400}}).outputs
    lock = account.client("s3").get_object_lock_configuration(Bucket=outputs["audit"])["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"]["Mode"] == "COMPLIANCE"
    assert lock["Rule"]["DefaultRetention"]["Days"] == 400


def test_a_locked_archive_gives_nothing_back_before_its_time(run_program: Any, account: Any) -> None:
    bucket = run_program(PROGRAM, {"ferry:protect": "true"}).outputs["audit"]
    s3 = account.client("s3")
    version = s3.put_object(Bucket=bucket, Key="AWSLogs/x", Body=b"log")["VersionId"]
    with pytest.raises(s3.exceptions.ClientError, match="Access Denied"):
        s3.delete_object(Bucket=bucket, Key="AWSLogs/x", VersionId=version)


def test_the_trail_records_the_models_and_their_replica(run_program: Any, account: Any) -> None:
    outputs = run_program(PROGRAM, {"ferry:protect": "true", "ferry:models": {"replica_region": "us-west-2"}}).outputs
    selectors = account.client("cloudtrail").get_event_selectors(TrailName=outputs["trail"])["EventSelectors"]
    assert [resource["Values"] for selector in selectors for resource in selector["DataResources"]] == [
        [f"arn:aws:s3:::{outputs['models']}/", f"arn:aws:s3:::{outputs['replica']}/"]
    ]
    assert outputs["trail"] == "arn:aws:cloudtrail:us-east-1:123456789012:trail/ferry-test"


def test_the_replica_lies_in_its_region_under_a_key_of_that_region(run_program: Any, account: Any) -> None:
    replica = run_program(PROGRAM, {"ferry:protect": "true", "ferry:models": {"replica_region": "us-west-2"}}).outputs[
        "replica"
    ]
    s3 = account.client("s3", "us-west-2")
    assert s3.get_bucket_location(Bucket=replica)["LocationConstraint"] == "us-west-2"
    rule = s3.get_bucket_encryption(Bucket=replica)["ServerSideEncryptionConfiguration"]["Rules"][0]
    key = rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]
    assert key.startswith("arn:aws:kms:us-west-2:123456789012:key/")


def test_without_a_replica_region_there_is_no_replica(run_program: Any, account: Any) -> None:
    outputs = run_program(PROGRAM, {"ferry:protect": "true"}).outputs
    assert outputs["replica"] is None
    assert len(account.client("s3").list_buckets()["Buckets"]) == 3


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "build" / "node-bundle.tar.gz"
    path.parent.mkdir()
    path.write_bytes(b"bundle")
    Path(f"{path}.sig").write_bytes(b"signature")
    return path


def test_the_bundle_and_its_signature_are_uploaded_under_their_content(
    run_program: Any, account: Any, bundle: Path, registered: Registered
) -> None:
    outputs = run_program(PROGRAM, {"ferry:protect": "true", "ferry:bundle": str(bundle)}).outputs
    key = outputs["bundle"]
    assert key == bundle_key(bundle) == "bundles/1e6ed65d77d6364e/node-bundle.tar.gz"
    s3 = account.client("s3")
    assert s3.get_object(Bucket=outputs["models"], Key=key)["Body"].read() == b"bundle"
    assert s3.get_object(Bucket=outputs["models"], Key=f"{key}.sig")["Body"].read() == b"signature"
    # Launch-template versions that name an older bundle still have to find it.
    assert registered.retained == {"models-node-bundle", "models-node-bundle-signature"}


def test_a_bundle_without_a_signature_fails_the_program(run_program: Any, bundle: Path) -> None:
    Path(f"{bundle}.sig").unlink()
    with pytest.raises(RehearsalError, match=r"node-bundle.tar.gz.sig is missing: `ferry render` makes it"):
        run_program(PROGRAM, {"ferry:protect": "true", "ferry:bundle": str(bundle)})


def test_a_lifecycle_rule_says_only_what_it_is_given() -> None:
    assert lifecycle_rule("r", transitions={"GLACIER": 30}) == {
        "id": "r",
        "status": "Enabled",
        "filter": {"prefix": ""},
        "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
        "transitions": [{"storage_class": "GLACIER", "days": 30}],
    }
