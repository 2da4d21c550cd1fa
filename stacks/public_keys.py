"""Public keys in PEM, one after the other in one text."""

from __future__ import annotations

import re

BLOCK = re.compile(r"-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+\n-----END PUBLIC KEY-----\n?")


def split(text: str) -> list[str]:
    """Each key by itself, in its order. Raises ValueError where the text holds anything else, such as a private key."""
    found = BLOCK.findall(text)
    if not found or BLOCK.sub("", text).strip():
        raise ValueError("is not public keys in PEM, one after the other")
    return [block.strip() + "\n" for block in found]
