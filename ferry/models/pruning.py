"""`ferry models prune`: puts delete markers on old versions. The bucket's lifecycle deletes them, later.

Until then a version can be had back by taking its markers off. What a channel means is kept, and what it meant before,
so that a rollback stays possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ferry.errors import InvalidField, TransferError
from ferry.models import channels, names, verification
from ferry.models.channels import Channel
from ferry.models.repository import Repository


@dataclass(frozen=True)
class Decision:
    """What becomes of one version, and why."""

    version: str
    keep: bool
    reason: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was decided, and whether the markers were set."""

    name: str
    decisions: tuple[Decision, ...]
    marked: bool
    marked_objects: int

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Candidate:
    """A version as pruning sees it."""

    version: str
    created_at: datetime
    size_bytes: int


def decide(candidates: Iterable[Candidate], kept_by: Sequence[Channel], keep: int) -> tuple[Decision, ...]:
    """Keep the newest, and what channels mean and meant before. The newest first."""
    used: dict[str, str] = {}
    for channel in kept_by:
        if channel.previous is not None:
            used.setdefault(channel.previous.version, f"what {channel.model}:{channel.channel} would roll back to")
    for channel in kept_by:
        used[channel.current.version] = f"{channel.model}:{channel.channel} means it"
    ordered = sorted(candidates, key=lambda one: (one.created_at, one.version), reverse=True)
    decisions = []
    for rank, one in enumerate(ordered, start=1):
        reason = used.get(one.version) or (
            f"among the newest {keep}" if rank <= keep else f"older than the newest {keep}"
        )
        decisions.append(Decision(one.version, one.version in used or rank <= keep, reason, one.size_bytes))
    return tuple(decisions)


def prune(repository: Repository, name: str, keep: int, *, dry_run: bool) -> Pruned:
    """Decide, and mark unless `dry_run`. Versions that cannot be believed are left alone: not Ferry's to judge.

    Raises InvalidField for a keep below 1, TransferError when the bucket keeps no versions, Untrusted when a channel
    cannot be believed, since it could mean any version.
    """
    names.check_model(name)
    if keep < 1:
        raise InvalidField(f"--keep {keep}: at least 1 version stays; to take a model away, delete its prefix yourself")
    candidates = [
        Candidate(one.version, one.manifest.manifest.created_at, one.manifest.manifest.size)
        for one in repository.versions(name)
        if one.manifest is not None
    ]
    decisions = decide(candidates, _channels(repository, name), keep)
    doomed = [decision.version for decision in decisions if not decision.keep]
    if dry_run or not doomed:
        return Pruned(name=name, decisions=decisions, marked=False, marked_objects=0)
    transport = repository.transport
    if not transport.versioned():
        raise TransferError(
            f"{repository.place}: keeps no versions, so marking would delete for good; nothing was done: "
            "turn versioning on (`ModelRepository` does)"
        )
    marked = 0
    for version in doomed:
        # Asked again just before: a promotion may have come in between. One in the same instant cannot be seen.
        if any(version == channel.current.version for channel in _channels(repository, name)):
            continue
        prefix = names.version_prefix(name, version)
        # Manifest and signature last, in one request: if this breaks off, the next run still finds the version.
        files = sorted(prefix + path for path in verification.sizes(transport, prefix))
        for keys in (files, [prefix + names.SIGNATURE, prefix + names.MANIFEST]):
            transport.mark_deleted(keys)
            marked += len(keys)
    return Pruned(name=name, decisions=decisions, marked=True, marked_objects=marked)


def _channels(repository: Repository, name: str) -> list[Channel]:
    held = (channels.read(repository, name, channel) for channel in channels.channel_names(repository, name))
    return [one.channel for one in held if one is not None]
