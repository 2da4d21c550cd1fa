"""What a secret looks like: the shapes that no file of a move may hold.

Shapes and prefixes as in the rules of gitleaks (https://github.com/gitleaks/gitleaks, config/gitleaks.toml).
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re

SHAPES = {
    "AWS access key": re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Z0-9])"),
    "AWS secret key": re.compile(
        r"(?i)aws_?secret_?access_?key[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+=]{40}(?![A-Za-z0-9/+=])"
    ),
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "JWT": re.compile(r"(?<![\w-])ey[A-Za-z0-9_-]{16,}\.ey[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    "GitHub token": re.compile(r"(?<![\w])(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{82})"),
    "Hugging Face token": re.compile(r"(?<![\w])hf_[A-Za-z]{34}(?![A-Za-z])"),
    "Pulumi token": re.compile(r"(?<![\w])pul-[a-f0-9]{40}(?![a-f0-9])"),
    "Slack token": re.compile(r"(?<![\w])xox[baprs]-[A-Za-z0-9-]{10,}"),
}


def kinds_in(text: str) -> list[str]:
    """Kinds of secrets that a text holds, in the order of `SHAPES`."""
    return [kind for kind, shape in SHAPES.items() if shape.search(text)]


def decoded(user_data: str) -> str:
    """First-boot data as text: base64 and gzip undone where it is packed so."""
    try:
        data = base64.b64decode(user_data, validate=True)
    except (binascii.Error, ValueError):
        return user_data
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return data.decode(errors="replace")
