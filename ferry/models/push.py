"""`ferry models push`: from a folder into the bucket. A version exists whole or not at all.

The files come first, in any order; the manifest is written when all of them lie there, by a write that replaces
nothing; its signature last. What breaks off is found again: whole files by their checksum, parts in S3's own list.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import JsonValue

from ferry.errors import Altered, Conflict, InputError, InvalidField, TransferError
from ferry.models import names, verification
from ferry.models.checksums import Digests, has_several_chunks
from ferry.models.crew import Crew, Progress
from ferry.models.journal import Journal
from ferry.models.manifest import File, Manifest, in_order, parse
from ferry.models.plan import Action, Compare, Copy, References, Send, plan
from ferry.models.repository import Repository, SignedManifest, verified
from ferry.models.signature import Signer, TrustedKeys, key_id, short
from ferry.models.transport import Stored, Upload
from ferry.models.tree import LocalFile, Tree
from ferry.models.upload import Sent, Uploader


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is pushed, under which name, and who vouches for it."""

    name: str
    version: str
    tree: Tree
    signer: Signer
    pushed_by: str
    at: datetime
    facts: Callable[[], Mapping[str, JsonValue] | None] = lambda: None
    """Asked when the version is published, and not when it is there already."""


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What a push did. `sent_bytes` went over the link; the store copied or had already the others."""

    name: str
    version: str
    files: int
    size_bytes: int
    sent_bytes: int
    copied_bytes: int
    kept_bytes: int
    published: bool
    """False: this very version was there already."""
    manifest_sha256: str
    signed_with: str
    left_out: tuple[str, ...]
    removed: tuple[str, ...]
    """Objects that lay in the version's place and belong to none of its files: delete markers were put on them."""

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def push(repository: Repository, request: Request, journal: Journal, progress: Progress) -> Pushed:
    """Push a version. May be run again at any time.

    Raises Conflict when the version exists with other content, Altered when a file changes meanwhile or bytes arrive
    altered, InputError for what cannot be pushed, TransferError when the store gives up.
    """
    _require_plain(request, repository.trusted)
    with Crew() as crew:
        return _Push(repository, request, journal, progress, crew).run()


def _require_plain(request: Request, trusted: TrustedKeys) -> None:
    names.check_model(request.name)
    names.check_name(request.version, "version")
    if (signer := key_id(request.signer.public_key)) not in trusted.by_id:
        raise InvalidField(
            f"key {short(signer)} would sign, trusted are {', '.join(map(short, trusted.by_id))}: nobody here would "
            "believe the version; trust the key's public half with --key FILE, or sign with another"
        )
    for file in request.tree.files:
        if problem := names.key_problem(request.name, request.version, file.path):
            raise InputError(f"{file.source}: its path in the model {problem}; rename it")
    if both := names.collision(file.path for file in request.tree.files):
        raise InputError(f"{both[0]!r} and {both[1]!r} are the same name on some file systems; rename one of them")


class _Push:
    def __init__(
        self, repository: Repository, request: Request, journal: Journal, progress: Progress, crew: Crew
    ) -> None:
        self._repository, self._transport, self._request = repository, repository.transport, request
        self._journal, self._progress, self._crew = journal, progress, crew
        self._prefix = names.version_prefix(request.name, request.version)
        self._where = f"{repository.place}/{self._prefix}{names.MANIFEST}"

    def run(self) -> Pushed:
        listing = self._crew.part(self._stored)  # while the manifest is read
        existing = self._existing()
        known = self._known()
        stored = listing.result()
        if existing is not None:
            if len(known) < len(self._request.tree.files):
                known, stored = self._hash_all(known), self._stored()  # which takes long: what lay there may be gone
            _require_same(existing[1], known, self._repository.place)
        sent, removed, moved = self._move(known, stored, published=existing is not None)
        for file in self._request.tree.files:
            file.require_unchanged(os.stat(file.source))  # noqa: PTH116 - thousands of Paths take longer
        if moved or existing is None:
            self._require_whole(sent)  # where nothing was moved, the listing from before has just said so
        written, published = (existing, False) if existing is not None else self._publish(sent)
        signed = self._sign(*written)
        return Pushed(
            name=self._request.name,
            version=self._request.version,
            files=len(sent),
            size_bytes=sum(one.digests.size for one in sent),
            sent_bytes=sum(one.sent for one in sent),
            copied_bytes=sum(one.copied for one in sent),
            kept_bytes=sum(one.kept for one in sent),
            published=published,
            manifest_sha256=signed.sha256,
            signed_with=signed.key_id,
            left_out=self._request.tree.left_out,
            removed=removed,
        )

    def _existing(self) -> tuple[bytes, Manifest] | None:
        """The manifest that lies there. Whoever wrote it may not have come as far as its signature."""
        found = self._transport.get(self._prefix + names.MANIFEST)
        return None if found is None else (found[0], parse(found[0], self._where))

    def _known(self) -> dict[str, Digests]:
        known: dict[str, Digests] = {}
        for file in self._request.tree.files:
            if (digests := self._journal.digests(file)) is not None:
                known[file.path] = digests
        return known

    def _hash_all(self, known: Mapping[str, Digests]) -> dict[str, Digests]:
        unknown = [file for file in self._request.tree.files if file.path not in known]
        uploader = self._uploader(References({}, {}), {})
        self._progress.begin("hashing", sum(file.state.size for file in unknown))

        def task(file: LocalFile) -> Callable[[], tuple[str, Digests]]:
            return lambda: (file.path, uploader.digests(file))

        hashed = self._crew.run([], [task(file) for file in unknown])
        return {**known, **dict(hashed)}

    def _stored(self) -> dict[str, Stored]:
        """What lies under the version's prefix, by path, but for its own manifest and signature."""
        stored = {found.key.removeprefix(self._prefix): found for found in self._transport.list(self._prefix)}
        for own in (names.MANIFEST, names.SIGNATURE):
            stored.pop(own, None)
        return stored

    def _move(
        self, known: Mapping[str, Digests], stored: Mapping[str, Stored], *, published: bool
    ) -> tuple[list[Sent], tuple[str, ...], bool]:
        """How each file came to lie there, what was removed, and whether anything was done at all."""
        request = self._request
        there: list[Sent] = []
        files = request.tree.files
        if published:
            # The manifest was written when all of this was there, so only what has gone or was cut since is sent again.
            kept = {path for path, found in stored.items() if path in known and found.size == known[path].size}
            there = [Sent(file, known[file.path], kept=file.state.size) for file in files if file.path in kept]
            files = tuple(file for file in files if file.path not in kept)
        references = References.of(self._other_manifests() if files else ())
        decided = plan(files, known, stored, references)
        uploads = {upload.key: upload for upload in self._transport.uploads(self._prefix)} if files else {}
        uploader = self._uploader(references, uploads)
        self._progress.begin("pushing", sum(file.state.size for file in files))
        small: list[Callable[[], Sent]] = []
        large: list[Callable[[], Sent]] = []
        for action in decided.actions:
            several = has_several_chunks(action.file.state.size)
            (large if several else small).append(partial(self._do, uploader, action, known))
        sent = self._crew.run(small, large)
        paths = {one.file.path for one in there}
        strays = tuple(path for path in decided.strays if path not in paths)
        self._remove(strays)
        return sorted([*there, *sent], key=lambda one: one.file.path), strays, bool(files or strays)

    def _uploader(self, references: References, uploads: Mapping[str, Upload]) -> Uploader:
        return Uploader(
            self._transport, self._crew, self._progress, self._prefix, references, uploads, self._journal.record
        )

    def _do(self, uploader: Uploader, action: Action, known: Mapping[str, Digests]) -> Sent:
        self._crew.check()
        digests = known.get(action.file.path)
        match action:
            case Send():
                return uploader.send(action)
            case Copy():
                return uploader.copy(action, known[action.file.path])
            case Compare(file, base):
                found = self._transport.head(self._prefix + file.path)
                if found is not None and found.crc64nvme is not None:
                    digests = digests or uploader.digests(file)
                    if (found.size, found.crc64nvme) == (digests.size, digests.crc64nvme):
                        self._progress.advance(digests.size)
                        return Sent(file, digests, kept=digests.size)
                return uploader.send(Send(file, base, None if found is None else found.etag))

    def _other_manifests(self) -> list[Manifest]:
        """Manifests of the model's other versions that can be believed, the oldest first."""
        versions = self._repository.versions(self._request.name)
        found = [one.manifest.manifest for one in versions if one.manifest and one.version != self._request.version]
        return sorted(found, key=lambda manifest: manifest.created_at)

    def _remove(self, strays: tuple[str, ...]) -> None:
        """What an earlier push of another folder left under this name would make every pull refuse the version."""
        if not strays:
            return
        if not self._transport.versioned():
            raise TransferError(
                f"{self._repository.place}/{self._prefix}{strays[0]}: lies there and is no file of the folder; the "
                "bucket keeps no versions, so it is not removed: delete it yourself, or push under another version"
            )
        self._transport.mark_deleted([self._prefix + path for path in strays])

    def _require_whole(self, sent: list[Sent]) -> None:
        sizes = {one.file.path: one.digests.size for one in sent}
        listed = verification.sizes(self._transport, self._prefix)
        if problems := verification.against_listing(sizes, listed):
            raise Altered(
                f"{self._repository.place}/{self._prefix}: {problems[0].text}; somebody else writes there, push again"
            )

    def _publish(self, sent: list[Sent]) -> tuple[tuple[bytes, Manifest], bool]:
        request = self._request
        facts = request.facts()
        manifest = Manifest(
            model=request.name,
            version=request.version,
            files=in_order(File.of(one.file.path, one.digests) for one in sent),
            facts=None if facts is None else dict(facts),
            pushed_by=request.pushed_by,
            created_at=request.at,
            signed_with=key_id(request.signer.public_key),
        )
        content = manifest.canonical()
        try:
            self._transport.put_small(self._prefix + names.MANIFEST, content, replacing=None)
        except Conflict:
            other = self._existing()
            if other is None:
                raise
            _require_same(other[1], {one.file.path: one.digests for one in sent}, self._repository.place)
            return other, False
        return (content, manifest), True

    def _sign(self, content: bytes, manifest: Manifest) -> SignedManifest:
        """Sign the manifest that lies there, unless that was done. Its content was compared with the files before."""
        key, signer = self._prefix + names.SIGNATURE, self._request.signer
        found = self._transport.get(key)
        if found is None:
            claimed = manifest.signed_with
            if claimed != key_id(signer.public_key):
                raise Conflict(
                    f"{self._where}: was written to be signed with key {short(claimed)}, and is not signed yet; "
                    "whoever has that key has to push it again"
                )
            with suppress(Conflict):  # somebody else finished the same push; theirs is verified like any other
                self._transport.put_small(key, signer.sign(content), replacing=None)
            found = self._transport.get(key)
        if found is None:
            raise TransferError(f"s3://{self._transport.bucket}/{key}: was written and is not there; push again")
        model, version, trusted = self._request.name, self._request.version, self._repository.trusted
        return verified(content, found[0], trusted, model, version, self._where, parsed=manifest)


def _require_same(manifest: Manifest, known: Mapping[str, Digests], place: str) -> None:
    """Raise Conflict when the manifest that lies there is not of these files."""
    theirs = {file.path: file.digests for file in manifest.files}
    if theirs == dict(known):
        return
    differing = sorted(path for path in theirs.keys() | known.keys() if theirs.get(path) != known.get(path))
    raise Conflict(
        f"{manifest.model}@{manifest.version} exists in {place} with other content (first: {differing[0]}, "
        f"{len(differing)} in all); a version never changes: push under a new one"
    )
