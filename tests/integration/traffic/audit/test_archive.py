"""The request log against the embedded account: conditional writes, Object Lock, versions, and the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner

from ferry import ledger
from ferry.cli import app
from ferry.errors import AuditError
from ferry.models.s3 import S3Transport
from ferry.rehearsal.account import EmbeddedAccount
from ferry.traffic.audit.account import lock_faults, version_faults
from ferry.traffic.audit.place import Bucket
from ferry.traffic.audit.shipper import Shipper
from ferry.traffic.audit.verification import verify
from tests.unit.traffic.audit.world import IDENTITY, SIGNER, TRUSTED, World

ARCHIVE = "archive"


def make_bucket(account: EmbeddedAccount, days: int) -> Any:
    client = account.client("s3")
    client.create_bucket(Bucket=ARCHIVE, ObjectLockEnabledForBucket=True)
    client.put_object_lock_configuration(
        Bucket=ARCHIVE,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": days}},
        },
    )
    return client


@pytest.fixture
def client(account: EmbeddedAccount) -> Any:
    return make_bucket(account, 184)


@pytest.fixture
def world(tmp_path: Path, client: Any) -> World:
    made = World(tmp_path)
    made.archive = S3Transport(client, ARCHIVE)  # type: ignore[assignment]
    (tmp_path / "envoy.yaml").touch()
    return made


def keys(client: Any) -> list[str]:
    return [entry["Key"] for entry in client.list_objects_v2(Bucket=ARCHIVE).get("Contents", [])]


def test_what_is_shipped_is_locked_and_written_once(world: World, client: Any) -> None:
    world.write(5)
    world.ship()
    world.write(5)
    world.ship()
    names = Bucket(world.archive).names()
    (chain,) = verify(Bucket(world.archive), TRUSTED)
    assert (chain.fault, chain.requests, chain.objects) == (None, 10, 2)
    assert list(lock_faults(client, ARCHIVE, names)) == []
    assert list(version_faults(client, ARCHIVE, "requests/")) == []
    sent = (world.spool / "shipped.jsonl").read_bytes()
    (world.spool / "pending.jsonl").write_bytes(sent)  # its answer was lost
    with Shipper(world.shipper()._gateway, world.archive, IDENTITY) as running:
        running.step()
    assert list(version_faults(client, ARCHIVE, "requests/")) == []
    (world.spool / "pending.jsonl").write_bytes(sent.replace(b"r7", b"r8"))
    with pytest.raises(AuditError, match="holds something else"), world.shipper() as running:
        running.step()


def test_a_delete_marker_a_second_version_and_a_short_lock_are_seen(
    account: EmbeddedAccount, world: World, client: Any
) -> None:
    world.write(1)
    world.ship()
    (key,) = keys(client)
    (fault,) = lock_faults(client, ARCHIVE, [key], retention_days=365)
    assert "is kept for 184.0 days" in fault
    client.put_object(Bucket=ARCHIVE, Key=key, Body=b"{}")
    client.delete_object(Bucket=ARCHIVE, Key=key)
    found = sorted(fault.split(": ", 1)[1][:21] for fault in version_faults(client, ARCHIVE, "requests/"))
    assert found == ["has a delete marker o", "was replaced, version"]
    client.create_bucket(Bucket="open")
    client.put_object(Bucket="open", Key="a", Body=b"")
    assert list(lock_faults(client, "open", ["a"])) == ["s3://open/a: has the lock none, expected is COMPLIANCE"]


@pytest.fixture
def ferry(account: EmbeddedAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", account.endpoint_url)
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    key = tmp_path / "signing-key.pem"
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(SIGNER.key.private_bytes(*pem))
    key.chmod(0o600)
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "public.pem").write_bytes(SIGNER.public_key.public_bytes(serialization.Encoding.PEM, public))

    def run(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, ["audit", *arguments, "--json"])
        assert result.exit_code == code, (result.output, result.exception)
        return json.loads(result.stdout) if code in (0, 3) else str(result.exception)

    return run


def test_a_person_ships_looks_and_verifies(world: World, client: Any, ferry: Callable[..., Any]) -> None:
    folder, key, trust = str(world.path), str(world.path / "signing-key.pem"), str(world.path / "public.pem")
    ledger.append(world.path, "plan", inputs=[], outputs=[], forced=False, result="go")
    world.write(5)
    assert ferry("status", folder)["lines_behind"] == 5
    ship = ("ship", folder, "--bucket", ARCHIVE, "--signing-key", key, "--once", "--ledger", folder)
    shipped = ferry(*ship)
    assert (shipped["requests"], shipped["lines_behind"], shipped["running"]) == (5, 0, False)
    found = ferry("verify", f"s3://{ARCHIVE}", "--key", trust, "--account", "--ledger", folder)
    assert found["holds"]
    assert found["notes"][-2:] == [
        "account: 1 objects, each COMPLIANCE for 184 days; versions below requests/",
        "trail: not looked at; name it with --trail-arn",
    ]
    lines = (world.path / "ledger.jsonl").read_text().replace("go", "no")
    (world.path / "ledger.jsonl").write_text(lines)
    assert ferry("verify", f"s3://{ARCHIVE}", "--key", trust, "--ledger", folder, code=3)["faults"] == [
        f"{world.path / 'ledger.jsonl'}:1: another line was recorded here, the ledger was rewritten"
    ]
    content = client.get_object(Bucket=ARCHIVE, Key=keys(client)[0])["Body"].read()
    copy = world.path / "copy" / keys(client)[0]
    copy.parent.mkdir(parents=True)
    copy.write_bytes(content.replace(b'"r3"', b'"r9"'))
    (chain,) = ferry("verify", str(world.path / "copy"), "--key", trust, code=3)["chains"]
    assert chain["fault"].endswith("000000000000.jsonl:6: sequence 5: was altered")
    assert ferry("verify", str(world.path / "copy"), "--key", trust, "--from", "2030-01-01", code=3)["chains"] == []


def test_wrong_words_are_refused_with_a_remedy(world: World, ferry: Callable[..., Any]) -> None:
    folder, trust = str(world.path), str(world.path / "public.pem")
    ferry("ship", folder, code=2)  # no bucket
    assert "has no envoy.yaml" in ferry("status", str(world.path / "logs"), code=1)
    assert "'tomorrow' is no time" in ferry("verify", folder, "--key", trust, "--to", "tomorrow", code=1)
    backwards = ("--from", "2026-11-02", "--to", "2026-11-01")
    assert "exchange them" in ferry("verify", folder, "--key", trust, *backwards, code=1)
    assert "name s3://BUCKET" in ferry("verify", folder, "--key", trust, "--account", code=1)


CHAINER = """
import sys, threading
from pathlib import Path
from tests.unit.traffic.audit.world import IDENTITY
from ferry.traffic.audit.shipper import Gateway, Shipper, run

class Store:
    bucket = "archive"
    def put_small(self, key, content, *, replacing):
        path = Path(sys.argv[2]) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            assert path.read_bytes() == content
        part = path.with_suffix(".part")
        part.write_bytes(content)
        part.replace(path)
        return ""
    def get(self, key):
        return None
    def list(self, prefix):
        return iter(())

folder = Path(sys.argv[1])
gateway = Gateway(instance="home", log=folder / "logs/access.jsonl", state=folder / "state")
with Shipper(gateway, Store(), IDENTITY, seal_after_s=0.0, most_lines=3) as shipper:
    run(shipper, threading.Event().wait, print)
"""


def test_a_chainer_that_is_killed_again_and_again_ships_each_line_once(tmp_path: Path) -> None:
    import os
    import random

    from ferry.traffic.audit.place import Folder

    world, chance = World(tmp_path), random.Random(3)
    shipped = tmp_path / "shipped"
    for round_number in range(int(os.environ.get("FERRY_SOAK", "2"))):
        running = subprocess.Popen([sys.executable, "-c", CHAINER, str(tmp_path), str(shipped)])
        wanted = len(list(shipped.rglob("*.jsonl"))) + chance.randrange(1, 5)
        deadline = time.monotonic() + 60
        while len(list(shipped.rglob("*.jsonl"))) < wanted and time.monotonic() < deadline:
            world.write(3)
            if round_number % 2 and chance.random() < 0.1:
                world.rotate()
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
        running.wait()
    for path in shipped.rglob("*.jsonl"):
        world.archive.objects[str(path.relative_to(shipped))] = path.read_bytes()
    world.ship()
    (chain,) = verify(Folder(world.download()), TRUSTED)
    assert chain.fault is None
    assert world.requests() == world.logged
