"""`ferry models promote`: a version that is whole and signed becomes what a channel means."""

from __future__ import annotations

from datetime import datetime

from ferry.errors import Altered, InvalidField
from ferry.models import channels, names, verification
from ferry.models.channels import Channel
from ferry.models.memory import Memory
from ferry.models.repository import Repository
from ferry.models.signature import Signer


def promote(
    repository: Repository,
    signer: Signer,
    name: str,
    version: str,
    channel: str,
    memory: Memory,
    *,
    by: str,
    at: datetime,
) -> Channel:
    """Promote a version. Promoting what the channel means already changes nothing.

    Raises Altered when a file of the version is missing, added or of another size, Conflict when somebody else promotes
    at the same time, Untrusted when the version or the channel as it is cannot be believed.
    """
    names.check_name(channel, "channel")
    held = channels.read(repository, name, channel, memory)
    target = repository.manifest(name, version)
    if held is not None and held.channel.current.manifest_sha256 == target.sha256:
        return held.channel
    manifest = target.manifest
    listed = verification.sizes(repository.transport, manifest.prefix)
    if problems := verification.against_listing({file.path: file.size for file in manifest.files}, listed):
        raise Altered(
            f"{name}@{version} is not whole: {problems[0].text}, {len(problems)} in all; "
            f"`ferry models verify {name}@{version}` names them, push it again"
        )
    promoted = channels.promote(repository, signer, target, channel, held=held, by=by, at=at)
    # Read back, so that this machine remembers what it has made.
    channels.read(repository, name, channel, memory)
    return promoted


def previous_version(repository: Repository, name: str, channel: str, memory: Memory) -> str:
    """The version that a rollback of the channel promotes. Raises InvalidField where there is none."""
    held = channels.read(repository, name, channel, memory)
    previous = None if held is None else held.channel.previous
    if previous is None:
        raise InvalidField(f"{name}:{channel} never meant another version; name the one to promote: NAME@VERSION")
    return previous.version
