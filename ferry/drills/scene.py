"""What a drill is given: a copy of the rehearsed account, of its own, and what waiting takes at AWS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ferry.artefacts import Drill
from ferry.drills.timings import Timings
from ferry.errors import RehearsalError
from ferry.rehearsal.account import EmbeddedAccount
from stacks.settings import Settings

CANARY_POLICY = Path(__file__).resolve().parents[2] / "examples" / "canary.yaml"
"""What a cutover is held by where nobody says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Nothing that a drill does here outlives it: the account is a fork, the folder a scratch folder."""

    account: EmbeddedAccount
    settings: Settings
    outputs: Mapping[str, Any]
    timings: Timings
    target_s: float
    scratch: Path
    weights: Mapping[str, float] = field(default_factory=dict)
    """Bytes of the model of a version, by its name, where a plan says so."""
    policy: Path = CANARY_POLICY
    """Of the cutover that a bad release comes into."""
    told: Callable[[str], None] = lambda what: None

    def output(self, name: str) -> Any:
        """What the program exports under a name. Raises RehearsalError."""
        if name not in self.outputs:
            raise RehearsalError(f"the program exports no {name}; the drill needs it")
        return self.outputs[name]

    def skipped(self, name: str, why: str) -> Drill:
        """A drill whose subject the stack does not have at all."""
        return Drill(name=name, fault="", target_s=self.target_s, timeline=[], skipped=why)
