"""The whole life of a version through the command line, against a server that validates."""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from ferry.models import checksums, patience, s3
from ferry.models.checksums import crc64nvme
from ferry.models.s3 import S3Transport
from tests.integration.models.conftest import CREDENTIALS, Site, command_line
from tests.integration.models.faulty import FaultyProxy

MIB = 2**20
REPOSITORY = Path(__file__).resolve().parents[3]

pytestmark = [pytest.mark.tool("versitygw"), pytest.mark.xdist_group("versitygw")]

Ferry = Callable[..., Any]


@pytest.fixture(autouse=True)
def _parts_of_five_mib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "SMALLEST_CHUNK_BYTES", 5 * MIB)


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


FILES = {
    "config.json": b'{"model_type": "qwen2"}',
    "empty.txt": b"",
    "tokenizer/词表.txt": "你好\n".encode(),
    "model.safetensors": noise(1, 12 * MIB + 17),
}


def found(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("manifest.json")
    }


def test_a_version_is_pushed_verified_promoted_pulled_and_rolled_back(site: Site, ferry: Ferry, tmp_path: Path) -> None:
    first = ferry("push", site.folder("a", FILES), "--name", "r1", "--version", "1")
    assert (first["published"], first["sent_bytes"], first["files"]) == (True, sum(map(len, FILES.values())), 4)
    again = ferry("push", site.root / "a", "--name", "r1", "--version", "1")
    assert (again["published"], again["sent_bytes"]) == (False, 0)

    new = {**FILES, "config.json": b"{}"}
    second = ferry("push", site.folder("b", new), "--name", "r1", "--version", "2")
    assert second["sent_bytes"] + second["copied_bytes"] == sum(map(len, new.values()))

    for version in ("1", "2"):
        for deep in ([], ["--deep"]):
            assert ferry("verify", f"r1@{version}", *deep)["whole"] is True
    for sequence, version in enumerate(("1", "2"), start=1):
        promoted = ferry("promote", f"r1@{version}", "--channel", "stable")
        assert (promoted["current"]["sequence"], promoted["current"]["version"]) == (sequence, version)

    pulled = ferry("pull", "r1:stable", tmp_path / "models" / "r1")
    assert (pulled["version"], pulled["in_place"]) == ("2", False)
    assert found(tmp_path / "models" / "r1") == new

    back = ferry("promote", "r1", "--channel", "stable", "--previous")
    assert (back["current"]["sequence"], back["current"]["version"]) == (3, "1")
    assert ferry("pull", "r1:stable", tmp_path / "models" / "r1")["version"] == "1"
    assert found(tmp_path / "models" / "r1") == FILES

    listed = ferry("list")
    assert [(one["version"], one["problem"], one["files"]) for one in listed["versions"]] == [
        ("1", None, 4),
        ("2", None, 4),
    ]
    assert [one["means"]["current"]["version"] for one in listed["channels"]] == ["1"]
    difference = ferry("diff", "r1@1", "r1@2")
    assert [(one["path"], one["change"]) for one in difference["files"]] == [("config.json", "changed")]
    assert difference["new_bytes"] == 2


def test_a_file_of_one_part_is_copied_from_another_version(site: Site, ferry: Ferry) -> None:
    content = noise(2, 3 * MIB)
    ferry("push", site.folder("a", {"model.bin": content}), "--name", "r1", "--version", "1")
    second = ferry("push", site.folder("b", {"renamed.bin": content}), "--name", "r1", "--version", "2")
    assert (second["sent_bytes"], second["copied_bytes"]) == (0, 3 * MIB)
    assert ferry("verify", "r1@2", "--deep")["whole"] is True


def test_verify_ends_with_3_and_names_what_is_not_as_it_was_signed(site: Site, ferry: Ferry) -> None:
    ferry("push", site.folder("a", FILES), "--name", "r1", "--version", "1")
    changed = bytearray(FILES["model.safetensors"])
    changed[7 * MIB] ^= 1
    site.s3.put_object(
        Bucket=site.bucket, Key="models/r1/1/model.safetensors", Body=bytes(changed), ChecksumAlgorithm="CRC64NVME"
    )
    site.s3.put_object(Bucket=site.bucket, Key="models/r1/1/added.py", Body=b"x")
    site.s3.delete_object(Bucket=site.bucket, Key="models/r1/1/config.json")
    said = " ".join(ferry("verify", "r1@1", code=3).split())
    assert "added added.py is not in the manifest" in said
    assert "missing config.json is missing" in said
    assert f"model.safetensors has CRC64NVME {crc64nvme(bytes(changed))}" in said
    assert "not whole: 3 problems" in said
    deep = " ".join(ferry("verify", "r1@1", "--deep", code=3).split())
    assert f"model.safetensors was altered between bytes {5 * MIB} and {10 * MIB}" in deep


def test_verify_ends_with_3_where_the_signature_is_not_to_be_believed(site: Site, ferry: Ferry) -> None:
    ferry("push", site.folder("a", {"config.json": b"{}"}), "--name", "r1", "--version", "1")
    site.s3.put_object(Bucket=site.bucket, Key="models/r1/1/manifest.json.sig", Body=b"x" * 64)
    assert "its signature fits none of the trusted keys" in " ".join(ferry("verify", "r1@1", code=3).split())


def test_a_version_that_is_there_with_other_content_is_refused_with_a_remedy(site: Site, ferry: Ferry) -> None:
    ferry("push", site.folder("a", {"config.json": b"{}"}), "--name", "r1", "--version", "1")
    said = ferry("push", site.folder("b", {"config.json": b"[]"}), "--name", "r1", "--version", "1", code=1)
    assert said == (
        f"r1@1 exists in s3://{site.bucket} with other content (first: config.json, 1 in all); "
        "a version never changes: push under a new one"
    )


def test_prune_sets_delete_markers_and_deletes_no_version(site: Site, ferry: Ferry) -> None:
    for version in ("1", "2", "3"):
        ferry("push", site.folder(version, {"config.json": version.encode()}), "--name", "r1", "--version", version)
    ferry("promote", "r1@1", "--channel", "stable")
    assert ferry("prune", "r1", "--keep", "1", "--dry-run")["marked"] is False
    before = site.s3.list_object_versions(Bucket=site.bucket)["Versions"]
    done = ferry("prune", "r1", "--keep", "1")
    assert (done["marked"], done["marked_objects"]) == (True, 3)
    after = site.s3.list_object_versions(Bucket=site.bucket)
    assert len(after["Versions"]) == len(before)
    assert sorted(marker["Key"] for marker in after["DeleteMarkers"]) == [
        f"models/r1/2/{name}" for name in ("config.json", "manifest.json", "manifest.json.sig")
    ]
    assert [one["version"] for one in ferry("list", "r1")["versions"]] == ["1", "3"]


def test_import_lfs_pushes_a_commit(site: Site, ferry: Ferry) -> None:
    weights = noise(3, MIB)
    oid = hashlib.sha256(weights).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {MIB}\n"
    clone = site.folder("clone", {"model.bin": pointer.encode(), "config.json": b"{}"})
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@b", "-C", str(clone)]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run([*git, *arguments], check=True)
    site.folder("clone", {f".git/lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}": weights})
    assert ferry("import-lfs", clone, "--name", "r1", "--version", "1")["size_bytes"] == MIB + 2
    assert site.s3.get_object(Bucket=site.bucket, Key="models/r1/1/model.bin")["Body"].read() == weights


# ---- what the server refuses ----


@pytest.fixture
def transport(site: Site, monkeypatch: pytest.MonkeyPatch) -> S3Transport:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return S3Transport.connect(site.bucket, endpoint_url=site.endpoint_url)


@pytest.mark.parametrize("operation", ["UploadPart", "PutObject"])
def test_a_part_that_is_corrupted_on_its_way_is_refused_by_the_server_and_sent_again(
    site: Site, transport: S3Transport, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    content = noise(4, 6 * MIB)

    def corrupt(params: dict[str, Any], **_: Any) -> None:
        sent.append(operation)
        if len(sent) < 3:
            params["body"] = io.BytesIO(b"\0" + params["body"].read()[1:])

    transport._client.meta.events.register(f"before-call.s3.{operation}", corrupt)
    monkeypatch.setattr(s3.time, "sleep", lambda seconds: None)
    if operation == "PutObject":
        transport.put("models/a1/1/x", content, crc64nvme(content), replacing=None)
    else:
        upload = transport.begin_upload("models/a1/1/x")
        part = transport.upload_part(upload, 1, content, crc64nvme(content))
        transport.complete_upload(upload, [part], len(content), crc64nvme(content), replacing=None)
    assert len(sent) == 3
    assert transport.read("models/a1/1/x", 0, len(content)) == content


@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload"])
def test_a_write_whose_answer_was_lost_is_found_to_be_done(
    transport: S3Transport, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = noise(5, 5 * MIB)
    send = transport._client._endpoint.http_session.send
    lost: list[str] = []

    def lose(request: Any) -> Any:
        answer = send(request)
        wanted = request.method == ("PUT" if operation == "PutObject" else "POST")
        if wanted and "uploads" not in request.url and not lost:
            lost.append(request.url)
            raise ConnectionClosedError(endpoint_url=request.url)
        return answer

    upload = transport.begin_upload("models/a1/1/x")
    part = transport.upload_part(upload, 1, content, crc64nvme(content))
    monkeypatch.setattr(transport._client._endpoint.http_session, "send", lose)
    if operation == "PutObject":
        done = transport.put("models/a1/1/y", content, crc64nvme(content), replacing=None)
    else:
        done = transport.complete_upload(upload, [part], len(content), crc64nvme(content), replacing=None)
    assert len(lost) == 1
    found = transport.head(done.key)
    assert found is not None
    assert (found.size, found.crc64nvme) == (done.size, crc64nvme(content)) == (len(content), crc64nvme(content))


# ---- a link and a server that fail ----


@pytest.mark.parametrize("seed", range(2))
def test_a_push_and_a_pull_finish_over_a_link_that_fails_at_random(
    site: Site, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(patience, "FIRST_WAIT_THROTTLED_S", 0.002)
    files = {**FILES, **{f"shard-{number}": noise(50 + number, 11 * MIB) for number in range(2)}}
    small = {f"small/{number}": noise(number, 1000 + number) for number in range(20)}
    folder = site.folder("a", {**files, **small})
    with FaultyProxy(int(site.endpoint_url.rsplit(":", 1)[1]), seed) as proxy:
        behind = replace(site, endpoint_url=f"http://127.0.0.1:{proxy.port}")
        pushed = command_line(behind)("push", folder, "--name", "r1", "--version", "1")
        pulled = command_line(behind)("pull", "r1@1", site.root / "models" / "r1")
    assert (pushed["published"], pulled["fetched_bytes"]) == (True, pushed["size_bytes"])
    assert found(site.root / "models" / "r1") == {**files, **small}
    assert command_line(site)("verify", "r1@1", "--deep")["whole"] is True
    assert {"reset", "cut", "flip", "delay", "slow-down", "internal-error"} <= set(proxy.faults)


# ---- kill -9 ----


@pytest.mark.parametrize("seed", range(int(os.environ.get("FERRY_SOAK", "5"))))  # `make soak`: 100
def test_a_push_killed_at_a_random_moment_is_finished_by_the_next(site: Site, ferry: Ferry, seed: int) -> None:
    files = {f"model-{number}.safetensors": noise(10 * seed + number, 11 * MIB) for number in range(2)}
    folder = site.folder("a", files)
    command = [sys.executable, str(Path(__file__).with_name("slow_push.py")), str(folder), str(site.root / "key.pem")]
    process = subprocess.Popen(
        command,
        env={**os.environ, **site.environment, "PYTHONPATH": str(REPOSITORY)},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        for _ in range(random.Random(seed).randrange(1, 9)):
            process.stdout.readline()
        time.sleep(random.Random(seed).random() * 0.05)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    keys = site.keys("models/r1/1/")
    if "models/r1/1/manifest.json" in keys:
        assert len(keys) >= 3
    whole = sum(11 * MIB for key in keys if key.endswith("safetensors"))
    uploads = site.s3.list_multipart_uploads(Bucket=site.bucket).get("Uploads", [])
    parts = [
        part
        for upload in uploads
        for part in site.s3.list_parts(Bucket=site.bucket, Key=upload["Key"], UploadId=upload["UploadId"]).get(
            "Parts", []
        )
    ]
    done = ferry("push", folder, "--name", "r1", "--version", "1")
    # The server may have finished what was in flight after it was asked.
    assert done["kept_bytes"] >= whole + sum(part["Size"] for part in parts)
    assert done["sent_bytes"] + done["kept_bytes"] == 22 * MIB
    assert ferry("verify", "r1@1", "--deep")["whole"] is True
    assert site.s3.list_multipart_uploads(Bucket=site.bucket).get("Uploads", []) == []


@pytest.mark.parametrize("seed", range(2))
def test_a_pull_killed_at_a_random_moment_is_finished_by_the_next(site: Site, ferry: Ferry, seed: int) -> None:
    files = {f"model-{number}.safetensors": noise(100 + number, 11 * MIB) for number in range(2)}
    ferry("push", site.folder("a", files), "--name", "r1", "--version", "1")
    target = site.root / "models" / "r1"
    command = [sys.executable, str(Path(__file__).with_name("slow_pull.py")), str(target), str(site.public_key)]
    process = subprocess.Popen(
        command,
        env={**os.environ, **site.environment, "PYTHONPATH": str(REPOSITORY)},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        for _ in range(random.Random(seed).randrange(1, 6)):
            process.stdout.readline()
        time.sleep(random.Random(seed).random() * 0.05)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not target.exists()
    done = ferry("pull", "r1@1", target)
    assert done["kept_bytes"] + done["fetched_bytes"] == 22 * MIB
    assert found(target) == files
