"""What is a secret, by its name or its looks, and how it is kept out of artefacts and messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

SECRET_NAME = re.compile(
    r"(?:^|[-.])(?:(?:auth)?token|api-?keys?|key|keys|secret|password|passwd|pass|pwd|credentials?|auth)(?:-id)?$"
)
# Hugging Face, OpenAI and its like, NVIDIA, GitHub, GitLab, AWS, JSON web tokens, bearer headers.
SECRET_TEXT = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}|\b(?:sk|rk|pk)-[A-Za-z0-9_-]{16,}|\bnvapi-[\w-]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|"
    r"\bglpat-[\w-]{16,}|\bA(?:KIA|SIA)[0-9A-Z]{16}\b|\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?|"
    r"(?i:\bbearer)\s+[^\s\"']{6,}"
)
LOGIN = re.compile(r"(://)[^/\s@]{1,300}@")
NAMED = re.compile(
    r"(?i)((?:token|api[-_]?key|secret|password|passwd|access[-_]?key)[\"']?\s*[:=]\s*[\"']?)(?!\*\*\*)[^\s\"',}&;]+"
)
PLACEHOLDER = re.compile(
    r"(?i)<.*>|\[.*\]|x{3,}|\*+|\.{3,}|none|null|empty|changeme|change-me|your[-_].*|.*-here|true|false|\d?"
)
HIDDEN = "***"
LONGEST = 300


def is_secret_name(name: str) -> bool:
    """Whether a flag or variable of that name holds a secret: `--api-key`, HF_TOKEN; not --max-total-tokens."""
    return len(name) < 200 and bool(SECRET_NAME.search(name.lower().replace("_", "-").lstrip("-")))


def is_plain(value: str) -> bool:
    """Whether a secret stands there itself: no variable, no template, no placeholder of a sample."""
    content = value.strip().strip("\"'")
    return not (any(mark in content for mark in ("$", "{{", "`")) or PLACEHOLDER.fullmatch(content[:LONGEST]))


def lines_with_secrets(text: str) -> list[int]:
    """The lines, at most twenty, with a text that looks like a token, whatever names it."""
    found = (match for match in SECRET_TEXT.finditer(text) if any(map(str.isdigit, match[0])) and is_plain(match[0]))
    return [text.count("\n", 0, match.start()) + 1 for match in islice(found, 20)]


class Redactor:
    """Takes secrets out of texts: those that look like one, and the given ones wherever they stand."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values = sorted({value for value in values if len(value) >= 6 and is_plain(value)}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """A text without secrets, on one line, of bounded length."""
        shown = text[: 4 * LONGEST]
        for value in self.values:
            shown = shown.replace(value, HIDDEN)
        shown = NAMED.sub(rf"\1{HIDDEN}", LOGIN.sub(rf"\1{HIDDEN}@", SECRET_TEXT.sub(HIDDEN, shown)))
        shown = "".join(letter if letter.isprintable() else " " for letter in shown)
        return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"
