"""Channels: a name, such as `stable`, for the version to serve. Promoting is one conditional write.

The file is signed whole and carries a sequence that only grows, so that what is put back from yesterday can be told
from what was promoted today; a rollback is a promotion of the previous version, with the next sequence.

What that protects, and what it does not:
* Nobody without the signing key can make a channel mean a version that it never meant.
* A machine that has seen sequence 7 refuses 6 and less, and another file with sequence 7 (`memory.Memory`). A machine
  that has seen none has nothing to compare with, unless it is told the least sequence (`pull --min-sequence`).
* Nobody notices an attacker who may write into the bucket and keeps the newest file from ever arriving: a channel has
  no expiry. LastModified and version ids prove nothing, as that attacker makes them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationError

from ferry.artefacts.artefact import first_problem
from ferry.artefacts.figures import Frozen
from ferry.errors import Conflict, FerryError, InvalidField, UnknownSchema, UnreadableInput, Untrusted
from ferry.models import names
from ferry.models.manifest import Sha256, canonical
from ferry.models.memory import Memory
from ferry.models.repository import Repository, SignedManifest
from ferry.models.signature import Signer, key_id, short

SCHEMA: Final = "ferry/model-channel/v1"
KEPT = 50
"""Entries of history that a channel carries; older ones are in the object's own versions."""


class Promotion(Frozen):
    """One promotion: what the channel means from then on, and which bytes exactly."""

    sequence: int = Field(ge=1, strict=True)
    version: str
    manifest_sha256: Sha256
    promoted_by: str
    promoted_at: datetime


class Channel(Frozen):
    """What a channel means, and what it meant before, the newest first."""

    schema_: Literal["ferry/model-channel/v1"] = Field(default=SCHEMA, alias="schema")
    model: str
    channel: str
    current: Promotion
    history: tuple[Promotion, ...] = ()
    signed_with: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def previous(self) -> Promotion | None:
        """The promotion that a rollback returns to: the last one of another version."""
        return next((past for past in self.history if past.version != self.current.version), None)

    def canonical(self) -> bytes:
        """The bytes that are signed."""
        return canonical(self.model_dump(mode="json", by_alias=True))

    @property
    def sha256(self) -> str:
        """What tells two files of the same sequence apart."""
        return hashlib.sha256(self.canonical()).hexdigest()


@dataclass(frozen=True)
class Held:
    """A channel as it was read; a promotion replaces exactly this one."""

    channel: Channel
    etag: str


@dataclass(frozen=True)
class Seen:
    """A channel as `list` shows it. `problem` says why it cannot be used."""

    name: str
    channel: str
    means: Channel | None
    problem: str | None = None

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        means = None if self.means is None else self.means.model_dump(mode="json", by_alias=True)
        return {"name": self.name, "channel": self.channel, "problem": self.problem, "means": means}


def channel_names(repository: Repository, name: str) -> list[str]:
    """Names of a model's channels."""
    prefix = f"channels/{name}/"
    found = (stored.key.removeprefix(prefix) for stored in repository.transport.list(prefix))
    return sorted(key.removesuffix(".json") for key in found if key.endswith(".json") and "/" not in key)


def overview(repository: Repository, name: str) -> Iterator[Seen]:
    """All channels of a model. One that cannot be believed says why instead of stopping the others."""
    for channel in channel_names(repository, name):
        try:
            held = read(repository, name, channel)
        except FerryError as error:
            yield Seen(name, channel, None, str(error))
        else:
            if held is not None:
                yield Seen(name, channel, held.channel)


def read(repository: Repository, name: str, channel: str, memory: Memory | None = None) -> Held | None:
    """Fetch and verify a channel; None where there is none and this machine has never seen one.

    Raises Untrusted where it is not signed by a trusted key for this very channel, or is older than one seen before.
    """
    key = names.channel_key(name, channel)
    where = f"{repository.place}/{key}"
    found = repository.transport.get(key)
    if found is None:
        if memory is not None:
            memory.expect_none(repository.transport.bucket, name, channel, where)
        return None
    held = Held(_verified(repository, found[0], name, channel, where), found[1])
    if memory is not None:
        current = held.channel.current
        memory.accept(repository.transport.bucket, name, channel, current.sequence, held.channel.sha256, where)
    return held


def resolve(repository: Repository, reference: names.Reference, memory: Memory | None = None) -> SignedManifest:
    """The signed manifest that a reference means. A channel names the very bytes of its manifest.

    Raises what `read` and `Repository.manifest` raise; Untrusted where the manifest is not the one that was promoted.
    """
    if reference.version is not None:
        return repository.manifest(reference.name, reference.version)
    channel = str(reference.channel)
    held = read(repository, reference.name, channel, memory)
    if held is None:
        raise InvalidField(
            f"{repository.place}: {reference} was never promoted; `ferry models promote {reference.name}@VERSION "
            f"--channel {channel}` makes it"
        )
    current = held.channel.current
    signed = repository.manifest(reference.name, current.version)
    if signed.sha256 != current.manifest_sha256:
        raise Untrusted(
            f"{repository.place}/{signed.manifest.prefix}{names.MANIFEST}: is signed, but is not the one that was "
            f"promoted to {reference} (sha256 {short(signed.sha256)}, not {short(current.manifest_sha256)}): "
            "another was put in its place; promote again"
        )
    return signed


def promote(
    repository: Repository,
    signer: Signer,
    target: SignedManifest,
    channel: str,
    *,
    held: Held | None,
    by: str,
    at: datetime,
) -> Channel:
    """Make the channel mean a version, if it is still as it was read. Raises Conflict where somebody else was first."""
    name = target.manifest.model
    sequence = 1 if held is None else held.channel.current.sequence + 1
    past = () if held is None else (held.channel.current, *held.channel.history)[:KEPT]
    promoted = Channel(
        model=name,
        channel=names.check_name(channel, "channel"),
        current=Promotion(
            sequence=sequence,
            version=target.manifest.version,
            manifest_sha256=target.sha256,
            promoted_by=by,
            promoted_at=at,
        ),
        history=past,
        signed_with=key_id(signer.public_key),
    )
    content = promoted.canonical()
    document = {"signed": json.loads(content), "signature": base64.b64encode(signer.sign(content)).decode()}
    try:
        repository.transport.put_small(
            names.channel_key(name, channel), canonical(document), replacing=None if held is None else held.etag
        )
    except Conflict as error:
        raise Conflict(
            f"{name}:{channel} was promoted by somebody else in this moment, so nothing was changed; "
            f"look at `ferry models list {name}` and promote again if you still mean it"
        ) from error
    return promoted


def _verified(repository: Repository, content: bytes, name: str, channel: str, where: str) -> Channel:
    try:
        document = json.loads(content)
        signed = canonical(document["signed"])
        signature = base64.b64decode(document["signature"], validate=True)
        claimed = str(document["signed"]["signed_with"])
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise UnreadableInput(f"{where}: is no signed channel: {error!r}; promote again") from error
    repository.trusted.verify(signed, signature, where, claimed=claimed)
    if document["signed"].get("schema") != SCHEMA:
        raise UnknownSchema(f"{where}: schema is {document['signed'].get('schema')!r}, this Ferry reads {SCHEMA!r}")
    try:
        found = Channel.model_validate(document["signed"])
    except ValidationError as error:
        raise UnreadableInput(f"{where}: {first_problem(error)}") from error
    if (found.model, found.channel) != (name, channel):
        raise Untrusted(
            f"{where}: is signed for {found.model}:{found.channel}, it was put here from elsewhere; promote again"
        )
    return found
