"""model-corruption: a byte of a pushed model is changed in the bucket, and its manifest swapped for an older one.

Pushed, promoted and pulled by what `ferry models` runs, and a node's boot. What replication would have copied is copied
here, by the rule that the account has: the emulator keeps the rule and copies nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry import artefacts
from ferry.artefacts import Drill
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.drills.traffic import Happened, tell
from ferry.errors import Altered, FerryError, Untrusted
from ferry.models import channels, names, promotion
from ferry.models import tree as trees
from ferry.models.crew import Silent
from ferry.models.journal import Journal
from ferry.models.memory import Memory
from ferry.models.pull import pull
from ferry.models.push import Request, push
from ferry.models.repository import Repository
from ferry.models.s3 import S3Transport
from ferry.models.signature import FileSigner, TrustedKeys

NAME = "model-corruption"
OLDER, NEWER, CHANNEL = "drill-1", "drill-2", "drill"
WEIGHTS = "model.safetensors"
WEIGHT_BYTES = 200_000
FAULT = f"one byte of {WEIGHTS} of a pushed model is changed, and its manifest is swapped for that of an older version"
SOURCE = "`ferry models push`, `promote` and `pull` on the copied account's bucket"
WHO = "ferry drill"


def drill(scene: Scene) -> Drill:
    """Both at once; the pull finds the manifest first, and the byte once that is repaired."""
    pushed = _pushed(scene)
    store = _Store.of(scene)
    store.replicate(pushed.keys)
    timeline = Timeline(NAME, FAULT, scene.target_s)
    faulted_at = time.monotonic()
    pushed.tamper(store.client, store.bucket)
    refused = pushed.refusal()
    store.replicate(pushed.keys)
    if refused is None or pushed.folder.exists():
        timeline.missing.append("`ferry models pull` took a version whose manifest was swapped: nothing verifies it")
        return timeline.end()
    what = f"the pull refuses it before anything is served: {refused}"
    tell(timeline, faulted_at, [Happened(time.monotonic(), "detected", what)], SOURCE)
    timeline.waited("decided", "a person restores what the bucket still has", scene.timings.person)

    started = time.monotonic()
    places = {key: store.restored(key) for key in pushed.manifest_keys}
    if None not in places.values():
        if (refused := pushed.refusal()) is None:
            timeline.missing.append(f"`ferry models pull` took a changed byte of {WEIGHTS}: nothing verifies it")
            return timeline.end()
        timeline.did("note", f"with its manifest back: {refused}", time.monotonic() - started, SOURCE)
        started = time.monotonic()
        places[pushed.weights_key] = store.restored(pushed.weights_key)
    if gone := [key for key, place in places.items() if place is None]:
        timeline.missing.append(
            f"ferry:model_repository.replica_region: {store.replica or 'none'}; versioning of {store.bucket} is "
            f"{store.versioning}: no earlier version of {gone[0]} is anywhere. Keep versions, and a replica"
        )
    elif refused := pushed.refusal():
        timeline.missing.append(f"what was restored is not what was signed: {refused}")
    else:
        named = " and ".join(dict.fromkeys(map(str, places.values())))
        what = f"restored from {named}: pulled whole, every byte verified"
        timeline.did("recovered", what, time.monotonic() - started, SOURCE)
    return timeline.end()


@dataclass(frozen=True)
class _Pushed:
    """Two versions of a model, and a channel that means the newer one."""

    repository: Repository
    model: str
    memory: Memory
    folder: Path

    @property
    def manifest_keys(self) -> tuple[str, str]:
        """The newer version's manifest and its signature."""
        prefix = names.version_prefix(self.model, NEWER)
        return prefix + names.MANIFEST, prefix + names.SIGNATURE

    @property
    def weights_key(self) -> str:
        """The newer version's weights."""
        return names.version_prefix(self.model, NEWER) + WEIGHTS

    @property
    def keys(self) -> tuple[str, ...]:
        """What is tampered with."""
        return *self.manifest_keys, self.weights_key

    def tamper(self, client: Any, bucket: str) -> None:
        """What somebody who may write into the bucket would do."""
        content = bytearray(client.get_object(Bucket=bucket, Key=self.weights_key)["Body"].read())
        content[WEIGHT_BYTES // 2] ^= 1
        client.put_object(Bucket=bucket, Key=self.weights_key, Body=bytes(content))
        older = names.version_prefix(self.model, OLDER)
        for key in self.manifest_keys:
            source = older + key.rpartition("/")[2]
            client.put_object(Bucket=bucket, Key=key, Body=client.get_object(Bucket=bucket, Key=source)["Body"].read())

    def refusal(self) -> str | None:
        """Why a node's pull refuses what the channel means; None: it is in its folder, whole."""
        try:
            signed = channels.resolve(self.repository, names.Reference(self.model, channel=CHANNEL), self.memory)
            pull(self.repository, signed, self.folder, progress=Silent())
        except (Altered, Untrusted) as error:
            return _short(error)
        return None


@dataclass(frozen=True)
class _Store:
    """The bucket of the models, and the replica that its rule names."""

    client: Any
    store: S3Transport
    replica_client: Any
    replica: str | None

    @property
    def bucket(self) -> str:
        """Its name."""
        return self.store.bucket

    @classmethod
    def of(cls, scene: Scene) -> _Store:
        """As the account has it."""
        client, bucket = scene.account.client("s3"), str(scene.output("model_bucket"))
        replica = _replica(client, bucket)
        region = client.get_bucket_location(Bucket=replica)["LocationConstraint"] or "us-east-1" if replica else None
        return cls(client, S3Transport(client, bucket), scene.account.client("s3", region), replica)

    @property
    def versioning(self) -> str:
        """`Enabled`, `Suspended` or `off`."""
        return str(self.client.get_bucket_versioning(Bucket=self.bucket).get("Status", "off"))

    def replicate(self, keys: Sequence[str]) -> None:
        """What S3 does by the rule: each new version, a wrong one as well, becomes a version of the replica."""
        if self.replica is None:
            return
        for key in keys:
            content = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            self.replica_client.put_object(Bucket=self.replica, Key=key, Body=content)

    def restored(self, key: str) -> str | None:
        """Put the version before the newest on top: from here, or from the replica. Where it was; None: nowhere."""
        places = [(self.client, self.bucket, "the bucket's earlier version")]
        if self.replica is not None:
            places.append((self.replica_client, self.replica, f"the replica {self.replica}"))
        for client, bucket, place in places:
            if (content := _before_newest(client, bucket, key)) is not None:
                present = self.store.get(key)
                self.store.put_small(key, content, replacing=None if present is None else present[1])
                return place
        return None


def _pushed(scene: Scene) -> _Pushed:
    signer = FileSigner(Ed25519PrivateKey.generate())
    transport = S3Transport(scene.account.client("s3"), str(scene.output("model_bucket")))
    repository = Repository(transport, TrustedKeys([signer.public_key]))
    model, now = scene.settings.model_versions[0].model, artefacts.now()
    folder = Path(mkdtemp(dir=scene.scratch, prefix="models-"))
    memory = Memory(folder / "channels", 0)
    for number, version in enumerate((OLDER, NEWER)):
        source = folder / version
        source.mkdir()
        (source / "config.json").write_text('{"model_type": "drill"}\n', encoding="utf-8")
        (source / WEIGHTS).write_bytes(bytes([number]) * WEIGHT_BYTES)
        request = Request(name=model, version=version, tree=trees.scan(source), signer=signer, pushed_by=WHO, at=now)
        push(repository, request, Journal(folder / "hashes.jsonl"), Silent())
        promotion.promote(repository, signer, model, version, CHANNEL, memory, by=WHO, at=now)
    return _Pushed(repository, model, memory, folder / "node")


def _replica(client: Any, bucket: str) -> str | None:
    """The bucket that an enabled rule for all objects copies to."""
    try:
        rules = client.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Rules"]
    except ClientError:
        return None
    found = [rule["Destination"]["Bucket"] for rule in rules if rule["Status"] == "Enabled"]
    return str(found[0]).rpartition(":")[2] if found else None


def _before_newest(client: Any, bucket: str, key: str) -> bytes | None:
    listed: Mapping[str, Any] = client.list_object_versions(Bucket=bucket, Prefix=key)
    versions = [one for one in listed.get("Versions", []) if one["Key"] == key and not one["IsLatest"]]
    if not versions:
        return None
    content: bytes = client.get_object(Bucket=bucket, Key=key, VersionId=versions[0]["VersionId"])["Body"].read()
    return content


def _short(error: FerryError) -> str:
    """Without the place, which is long."""
    return str(error).partition(": ")[2]
