"""The head: the last line of every object. It is signed, and says how far the chain and the log are.

As the line before it is named by its hash, the signature covers the whole chain up to here: what is cut off behind the
last head is not noticed, what is cut off before it is. The shipper goes on from the last head, too, so that a cursor
and a checkpoint cannot disagree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from ferry.errors import AuditError
from ferry.traffic.audit.line import compact, digest, opening

INSTANCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
BETWEEN = b',"signature":"'
LONGEST_BYTES = 2**14


class Signer(Protocol):
    """Something that signs."""

    def sign(self, content: bytes) -> bytes:
        """The detached signature of some bytes."""


class Trusted(Protocol):
    """The keys that are believed."""

    def verify(self, content: bytes, signature: bytes, where: str, *, claimed: str | None = None) -> str:
        """The id of the key that signed. Raises Untrusted."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """A checkpoint of the chain."""

    instance: str
    """The gateway's name."""
    start: str
    """When its chain began, RFC 3339."""
    first: int
    """Sequence of the first line of the object that this head ends; it names the object."""
    requests: int
    """Lines of the access log in the chain so far, unreadable ones included."""
    log: str | None
    """The access log that was read (`restarts.identity`), and how far: what came before `offset` is in the chain."""
    offset: int
    passed: tuple[str, ...]
    """Older logs that were still there and are in the chain, as their first 16 digits."""
    notes: int
    """Notes of state/restarts.jsonl that are in the chain."""
    since_start: int | None
    """Lines since Envoy's last start; None: it is not known when that was, or it has ended."""
    sealed_at: str
    """RFC 3339, by this machine's clock."""
    stopped: bool
    """Whether the shipper ended here because it was told to."""
    signed_with: str
    """Id of the key that signs."""


@dataclass(frozen=True)
class Sealed:
    """A head as it stands in the archive."""

    head: Head
    sequence: int
    """Its own."""
    digest: str
    """Of its line: what the next object's first line names."""
    signed: bytes
    signature: bytes


def key_of(head: Head) -> str:
    """Name of the object that a head ends.

    By the first sequence alone: two chainers that went different ways from one place want the same name, and only one
    can have it.
    """
    start = re.sub(r"\.\d+|[-:]", "", head.start)
    return f"requests/{head.instance}/{start}/{head.first:012d}.jsonl"


def seal(head: Head, previous: str, sequence: int, signer: Signer) -> bytes:
    """The head's line."""
    signed = opening(previous, sequence) + b'head":' + compact(asdict(head))
    return signed + BETWEEN + signer.sign(signed).hex().encode() + b'"}'


def parse(line: bytes, where: str) -> Sealed:
    """Read a head's line, exactly as `seal` writes it; its signature is not looked at. Raises AuditError."""
    signed, between, rest = line.rpartition(BETWEEN)
    try:
        document = json.loads(signed + b"}")
        head = Head(**{**document["head"], "passed": tuple(document["head"]["passed"])})
        signature = bytes.fromhex(rest.removesuffix(b'"}').decode())
        written = opening(document["previous"], document["sequence"]) + b'head":' + compact(asdict(head))
    except (ValueError, KeyError, TypeError) as error:
        raise AuditError(f"{where}: does not end with a head: it was cut off or altered") from error
    if not between or written != signed or rest != signature.hex().encode() + b'"}' or not _plausible(document, head):
        raise AuditError(f"{where}: ends with a head that Ferry did not write so: it was altered")
    return Sealed(head, document["sequence"], digest(line), signed, signature)


def last_line(content: bytes) -> bytes:
    """The last line of an object or of its end, without its newline."""
    return content.removesuffix(b"\n").rpartition(b"\n")[2]


def moment(head: Head) -> datetime:
    """When it was sealed."""
    return datetime.fromisoformat(head.sealed_at)


def _plausible(document: Mapping[str, Any], head: Head) -> bool:
    whole = (document["sequence"], head.first, head.requests, head.offset, head.notes)
    texts = (head.instance, head.start, head.sealed_at, head.signed_with)
    try:
        aware = datetime.fromisoformat(head.sealed_at).tzinfo is not None
    except (ValueError, TypeError):
        return False
    return (
        aware
        and all(type(number) is int and number >= 0 for number in whole)
        and all(isinstance(text, str) for text in texts)
        and INSTANCE.fullmatch(head.instance) is not None
    )
