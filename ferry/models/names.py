"""Names in the repository: of models, versions, channels and files, and the S3 keys that they make.

* `models/<name>/<version>/<path>`: a file, readable by any engine that reads an `s3://` prefix
* `models/<name>/<version>/manifest.json`: what the version is made of; `manifest.json.sig` is its signature
* `channels/<name>/<channel>.json`: which version a channel means
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from ferry.errors import InvalidField

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
LONGEST_KEY_BYTES = 1024
"""docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""
LONGEST_STEP_BYTES = 255
"""NAME_MAX of Linux's file systems: a longer step can be stored, and be pulled nowhere."""

# A model is named as in `ferry:model_versions`. A version's leading dot or dash would hide a folder or be an option.
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,61}[a-z0-9]")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Reference:
    """A version by its own name (`r1-32b@2026-11-01`), or by the channel that means it (`r1-32b:stable`)."""

    name: str
    version: str | None = None
    channel: str | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.channel is None else f"{self.name}:{self.channel}"


def parse_reference(text: str) -> Reference:
    """Read `name@version` or `name:channel`. Raises InvalidField."""
    found = re.fullmatch(r"([^@:]+)([@:])([^@:]+)", text)
    if found is None:
        raise InvalidField(f"{text!r} names no version of a model; write NAME@VERSION or NAME:CHANNEL")
    name, kind, rest = check_model(found[1]), found[2], found[3]
    if kind == "@":
        return Reference(name, version=check_name(rest, "version"))
    return Reference(name, channel=check_name(rest, "channel"))


def check_model(text: str) -> str:
    """Return the name of a model. Raises InvalidField."""
    if not MODEL_NAME.fullmatch(text):
        raise InvalidField(
            f"model {text!r}: allowed are 2 to 63 of a-z 0-9 . -, the first and last a letter or a digit; rename it"
        )
    return text


def check_name(text: str, kind: str) -> str:
    """Return the name of a version or a channel. Raises InvalidField."""
    if not NAME.fullmatch(text):
        raise InvalidField(
            f"{kind} {text!r}: allowed are 1 to 128 of A-Z a-z 0-9 . _ -, the first a letter or a digit; rename it"
        )
    return text


def version_prefix(name: str, version: str) -> str:
    """Start of the keys of all objects of a version."""
    return f"models/{name}/{version}/"


def channel_key(name: str, channel: str) -> str:
    """Key of a channel."""
    return f"channels/{name}/{channel}.json"


@lru_cache(maxsize=2**16)  # asked for each file at each step, and models of ten thousand files exist
def path_problem(path: str) -> str | None:
    """What keeps a text from being the path of a model's file, or None. What is allowed is a plain relative path."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if re.search(r"[\x00-\x1f\x7f\\]", path):
        return "has a backslash or a control character"
    if path.startswith("/"):
        return "is absolute"
    steps = path.split("/")
    if any(step in ("", ".", "..") for step in steps):
        return "has an empty step, '.' or '..'"
    if path in (MANIFEST, SIGNATURE):
        return "is the name of the version's own manifest or signature"
    if max(len(step.encode()) for step in steps) > LONGEST_STEP_BYTES:
        return f"has a step of more than {LONGEST_STEP_BYTES} bytes"
    return None


def key_problem(name: str, version: str, path: str) -> str | None:
    """What keeps a path from being stored under this version, or None."""
    length = len((version_prefix(name, version) + path).encode("utf-8", "surrogateescape"))
    if length > LONGEST_KEY_BYTES:
        return f"makes a key of {length} bytes, S3 takes {LONGEST_KEY_BYTES}"
    return path_problem(path)


def collision(paths: Iterable[str], *, folding_case: bool = False) -> tuple[str, str] | None:
    """Two paths that a file system may take for one, or of which one would have to be the other's folder.

    Unicode's normal forms always count (macOS folds them); case only where `folding_case` says that it does.
    """

    def folded(path: str) -> str:
        normal = unicodedata.normalize("NFC", path)
        return unicodedata.normalize("NFC", normal.casefold()) if folding_case else normal

    seen: dict[str, str] = {}
    for path in paths:
        if (same := folded(path)) in seen:
            return seen[same], path
        seen[same] = path
    for path in seen.values():
        steps = path.split("/")
        for end in range(1, len(steps)):
            if (other := seen.get(folded("/".join(steps[:end])))) is not None:
                return other, path
    return None
