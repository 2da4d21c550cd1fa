"""Nonces: numbers that are asked for once, and answered once, before they are too old."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ferry.attestation.verification import NONCE_BYTES
from ferry.errors import UnwritableOutput


@dataclass(frozen=True)
class Nonces:
    """A folder with a file for each nonce: its name is the nonce, it says when it was issued, and taking renames it."""

    folder: Path

    def issue(self, now: datetime) -> bytes:
        """A new one. Raises UnwritableOutput."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._file(nonce).open("x", encoding="ascii") as file:
                file.write(now.isoformat())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UnwritableOutput(f"{self.folder}: the nonce cannot be kept: {error.strerror}") from error
        return nonce

    def take(self, nonce: bytes, now: datetime, max_age: timedelta) -> str | None:
        """Use it up, whatever comes of it, and say why it is refused; None where it is good.

        Of two processes that take the same one at once, one finds it gone.
        """
        file = self._file(nonce)
        used = file.with_suffix(".used")
        try:
            file.rename(used)
        except FileNotFoundError:
            return "has been used before" if used.exists() else f"was not issued here ({self.folder})"
        except OSError as error:
            raise UnwritableOutput(f"{file}: the nonce cannot be used up: {error.strerror}") from error
        age = now - datetime.fromisoformat(used.read_text(encoding="ascii"))
        if timedelta(0) <= age <= max_age:
            return None
        return f"was issued {age.total_seconds():.0f} s ago, allowed are 0 to {max_age.total_seconds():.0f}"

    def _file(self, nonce: bytes) -> Path:
        return self.folder / f"{nonce.hex()}.nonce"
