"""The repository as it is stored: which versions there are, and whether what they say of themselves can be believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ferry.errors import FerryError, InvalidField, Untrusted
from ferry.models import names
from ferry.models.manifest import Manifest, parse
from ferry.models.signature import TrustedKeys
from ferry.models.transport import Transport


@dataclass(frozen=True)
class SignedManifest:
    """A manifest whose signature fits a trusted key, with the bytes that were signed."""

    manifest: Manifest
    content: bytes
    signature: bytes
    key_id: str

    @property
    def sha256(self) -> str:
        """What a channel names the manifest by."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Version:
    """A version as `list` shows it. `problem` says why it cannot be used; then there is no manifest."""

    name: str
    version: str
    manifest: SignedManifest | None
    problem: str | None = None

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        signed = self.manifest
        told = {"name": self.name, "version": self.version, "problem": self.problem}
        if signed is None:
            return told
        return {
            **told,
            "files": len(signed.manifest.files),
            "size_bytes": signed.manifest.size,
            "created_at": signed.manifest.created_at.isoformat(),
            "pushed_by": signed.manifest.pushed_by,
            "signed_with": signed.key_id,
            "manifest_sha256": signed.sha256,
        }


@dataclass(frozen=True)
class Repository:
    """The models in one bucket, seen with the keys that are trusted."""

    transport: Transport
    trusted: TrustedKeys

    @property
    def place(self) -> str:
        """Where it is."""
        return f"s3://{self.transport.bucket}"

    def models(self) -> Sequence[str]:
        """Names of the models."""
        return sorted(self.transport.list_folders("models/"))

    def version_names(self, name: str) -> Sequence[str]:
        """Names of a model's versions, also of those that are not whole yet."""
        return sorted(self.transport.list_folders(f"models/{name}/"))

    def manifest(self, name: str, version: str) -> SignedManifest:
        """Fetch and verify a version's manifest.

        Raises InvalidField where there is no such version, Untrusted where it is not signed by a trusted key for this
        very model and version, UnreadableInput or UnknownSchema where it is signed and cannot be read.
        """
        found = self._signed(name, version)
        if found is None:
            have = ", ".join(self.version_names(name)) or "none"
            raise InvalidField(
                f"{self.place}: {name}@{version} has no {names.MANIFEST}: it was never pushed whole; there are: {have}"
            )
        return found

    def versions(self, name: str) -> Iterator[Version]:
        """All versions of a model. One that cannot be believed says why instead of stopping the others."""
        for version in self.version_names(name):
            try:
                signed = self._signed(name, version)
            except FerryError as error:
                yield Version(name, version, None, str(error))
            else:
                if signed is None and not any(self.transport.list(names.version_prefix(name, version))):
                    continue  # some stores still list the folder of what has only delete markers
                problem = None if signed else f"no {names.MANIFEST}: a push is under way, or broke off"
                yield Version(name, version, signed, problem)

    def _signed(self, name: str, version: str) -> SignedManifest | None:
        prefix = names.version_prefix(name, version)
        where = f"{self.place}/{prefix}{names.MANIFEST}"
        content = self.transport.get(prefix + names.MANIFEST)
        if content is None:
            return None
        signature = self.transport.get(prefix + names.SIGNATURE)
        if signature is None:
            raise Untrusted(f"{where}: has no {names.SIGNATURE}; whoever pushed it has to run the push again")
        return verified(content[0], signature[0], self.trusted, name, version, where)


def verified(
    content: bytes,
    signature: bytes,
    trusted: TrustedKeys,
    name: str,
    version: str,
    where: str,
    *,
    parsed: Manifest | None = None,
) -> SignedManifest:
    """A manifest that is signed by a trusted key and is for this model and version. Raises as `Repository.manifest`.

    `parsed` is what `content` says, where it was read already.
    """
    claimed = _claimed_key(content) if parsed is None else parsed.signed_with
    key_id = trusted.verify(content, signature, where, claimed=claimed)
    manifest = parsed or parse(content, where)
    if (manifest.model, manifest.version) != (name, version):
        raise Untrusted(
            f"{where}: is signed for {manifest.model}@{manifest.version}, not for {name}@{version}: it was put here "
            "from elsewhere; push the version again under a new name"
        )
    return SignedManifest(manifest, content, signature, key_id)


def _claimed_key(content: bytes) -> str | None:
    """The key id that an unverified manifest names, for a clearer refusal."""
    try:
        claimed = json.loads(content)["signed_with"]
    except (ValueError, KeyError, TypeError):
        return None
    return claimed if isinstance(claimed, str) else None
