"""How long AWS lets one wait: each duration with its source, or from the user's own measurement."""

from __future__ import annotations

from dataclasses import dataclass

from ferry.artefacts import Basis


@dataclass(frozen=True)
class Duration:
    """Seconds, and what they rest on."""

    seconds: float
    basis: Basis
    source: str


@dataclass(frozen=True)
class Timings:
    """What a drill needs beyond what the account itself says (alarm periods, health checks, cooldowns)."""
