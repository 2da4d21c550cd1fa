"""audit-tamper: somebody who may do anything to the archive but end its lock rewrites what stands there.

First with the bucket's policy in place, which refuses all of it; then without it: one object is deleted, and a version
with an altered line is put over another. The archive is the account's own, the log that of a real gateway, chained,
signed and shipped by `audit ship`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry.artefacts import Drill
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.drills.timings import Duration
from ferry.drills.traffic import seen_within, under_load
from ferry.errors import RehearsalError
from ferry.models.s3 import S3Transport
from ferry.models.signature import FileSigner, TrustedKeys, key_id
from ferry.rehearsal.checks.audit_archive import rules_that_tell, trail_event
from ferry.rehearsal.event_patterns import matches
from ferry.traffic.audit import place
from ferry.traffic.audit.account import lock_faults, version_faults
from ferry.traffic.audit.shipper import Gateway, Identity, Shipper
from ferry.traffic.audit.verification import verify

NAME = "audit-tamper"
INSTANCE = "drill"
PREFIX = f"requests/{INSTANCE}/"
LINES = 5
"""Of an object, at least: not every ten seconds, but some times a second."""
OBJECTS = 3
"""One is altered, one in the middle is deleted, and one follows: of a chain's end, nothing tells that it is missing."""
FAULT = "the archive's policy is taken off, one object is deleted, and an altered line is put over another"
SOURCE = "`ferry audit ship` and `verify` on the copied account's archive"
TOLD = Duration(
    60, "assumed", "EventBridge has CloudTrail's calls in near real time (its user guide); a minute is allowed for"
)


def drill(scene: Scene) -> Drill:
    """Two objects of a chain of several."""
    archive = _Archive.filled(scene)
    timeline = Timeline(NAME, FAULT, scene.target_s)
    if faults := list(lock_faults(archive.client, archive.bucket, archive.names)):
        timeline.missing.append(f"ferry:audit.mode: the lock is not COMPLIANCE for long enough: {faults[0]}")
    if found := archive.fault():
        raise RehearsalError(f"the archive does not hold before anything is altered: {found}")
    _try(timeline, archive)
    policy = archive.without_policy()
    _tamper(timeline, archive)
    if not _detected(timeline, scene, archive):
        return timeline.end()
    timeline.waited("decided", "a person restores what the archive still has", scene.timings.person)
    started = time.monotonic()
    gone = [name for name in archive.victims if not archive.restored(name)]
    archive.put_policy(policy)
    if found := archive.fault():
        lost = f"; nothing is left of {', '.join(gone)}" if gone else ""
        timeline.missing.append(f"ferry:audit.mode: the archive cannot be restored: {found}{lost}")
    else:
        what = "the first versions are on top again, and `ferry audit verify` holds; what was put over them stays there"
        timeline.did("recovered", what, time.monotonic() - started, SOURCE)
    return timeline.end()


def _try(timeline: Timeline, archive: _Archive) -> None:
    """With the policy in place, nobody changes anything. What this alters, the fault alters again."""
    started = time.monotonic()
    if done := [what for what, call in archive.attacks() if not _refused(call)]:
        timeline.missing.append(f"the policy of {archive.bucket} lets {' and '.join(done)}; `pulumi up` puts it back")
    else:
        what = "with the policy in place, S3 refuses all of it"
        timeline.did("note", what, time.monotonic() - started, SOURCE)


def _tamper(timeline: Timeline, archive: _Archive) -> None:
    started = time.monotonic()
    refused = [what for what, call in archive.attacks() if _refused(call)]
    if archive.destroying in refused:
        what = "the lock still refuses to delete the version itself, with s3:BypassGovernanceRetention, too"
    else:
        what = "the version itself is deleted: what it held is gone for good"
    timeline.did("note", what, time.monotonic() - started, SOURCE)


def _detected(timeline: Timeline, scene: Scene, archive: _Archive) -> bool:
    """By the rule that watches the archive's settings, and by what verifies."""
    event = trail_event("s3.amazonaws.com", "DeleteBucketPolicy", requestParameters={"bucketName": archive.bucket})
    told = rules_that_tell(scene.account, str(scene.output("notification_topic_arn")))
    heard = [name for name, pattern in told.items() if matches(pattern, event)]
    if heard:
        timeline.waited("detected", f"{heard[0]} tells that the policy was taken off", TOLD)
    else:
        timeline.missing.append(f"no enabled rule tells anybody that the policy of {archive.bucket} was taken off")
    started = time.monotonic()
    found = archive.fault()
    if found is None:
        timeline.missing.append("`ferry audit verify` finds nothing wrong with what was altered")
        return False
    hidden = len(list(version_faults(archive.client, archive.bucket, PREFIX)))
    what = f"`ferry audit verify` names {found.removeprefix(PREFIX)}; with --account, {hidden} hidden or replaced"
    timeline.did("note" if heard else "detected", what, time.monotonic() - started, SOURCE)
    return True


@dataclass(frozen=True)
class _Archive:
    """The account's, with a chain of this drill in it."""

    client: Any
    bucket: str
    store: S3Transport
    trusted: TrustedKeys
    names: list[str]
    originals: Mapping[str, str]
    """Object to the id of the version that the shipper wrote."""
    destroying = "delete a version for good"

    @classmethod
    def filled(cls, scene: Scene) -> _Archive:
        """With the log of a gateway that was just asked."""
        client, bucket = scene.account.client("s3"), str(scene.output("audit_bucket"))
        store, signer = S3Transport(client, bucket), FileSigner(Ed25519PrivateKey.generate())
        trusted = TrustedKeys([signer.public_key])
        with under_load(scene) as traffic:
            gateway = Gateway(instance=INSTANCE, log=traffic.site.folder.access_log, state=traffic.site.folder.state)
            identity = Identity(signer, key_id(signer.public_key), trusted)
            with Shipper(gateway, store, identity, most_lines=LINES) as shipper:
                archived = place.Bucket(store, PREFIX)
                if not seen_within(10, lambda: shipper.step() and len(archived.names()) >= OBJECTS):
                    raise RehearsalError(f"{gateway.log}: does not grow")
                traffic.load.stop()
                shipper.finish()
        pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=PREFIX)
        originals = {one["Key"]: one["VersionId"] for page in pages for one in page["Versions"]}
        return cls(client, bucket, store, trusted, sorted(originals), originals)

    @property
    def victims(self) -> tuple[str, str]:
        """The object that is altered, and the one that is deleted."""
        return self.names[0], self.names[1]

    def fault(self) -> str | None:
        """What `audit verify` finds first."""
        [chain] = verify(place.Bucket(self.store, PREFIX), self.trusted)
        return None if chain.fault is None else str(chain.fault)

    def attacks(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """What somebody would do to the two."""
        altered, deleted = self.victims
        version = {"Bucket": self.bucket, "Key": deleted, "VersionId": self.originals[deleted]}
        # Always of the first version: altered twice, it would be as it was.
        written = {"Bucket": self.bucket, "Key": altered, "VersionId": self.originals[altered]}
        content = bytearray(self.client.get_object(**written)["Body"].read())
        at = content.index(b'"status":') + len(b'"status":')
        content[at] = ord("4") if content[at] != ord("4") else ord("2")
        yield (
            "put another version over an object",
            lambda: self.client.put_object(Bucket=self.bucket, Key=altered, Body=bytes(content)),
        )
        yield "delete an object", lambda: self.client.delete_object(Bucket=self.bucket, Key=deleted)
        yield self.destroying, lambda: self.client.delete_object(**version, BypassGovernanceRetention=True)

    def without_policy(self) -> str | None:
        """Take the bucket's policy off; what it said, None where there was none."""
        try:
            policy = str(self.client.get_bucket_policy(Bucket=self.bucket)["Policy"])
        except ClientError:
            return None
        self.client.delete_bucket_policy(Bucket=self.bucket)
        return policy

    def put_policy(self, policy: str | None) -> None:
        """Put it back."""
        if policy is not None:
            self.client.put_bucket_policy(Bucket=self.bucket, Policy=policy)

    def restored(self, name: str) -> bool:
        """Whether the first version could be put on top: a lock keeps it, and what was put over it, too."""
        try:
            kept = self.client.get_object(Bucket=self.bucket, Key=name, VersionId=self.originals[name])["Body"].read()
        except ClientError:
            return False
        found = self.store.get(name)
        self.store.put_small(name, kept, replacing=None if found is None else found[1])
        return True


def _refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except ClientError:
        return True
    return False
