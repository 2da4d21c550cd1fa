"""The files that the verbs hand to each other: assessment, plan, rehearsal.

Each is a frozen model written as YAML. It carries its schema, the sha256 of every file it was made from, and a digest
of itself, so that a verb can refuse what it does not know, what has changed since, and what was edited by hand.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferry.artefacts.kinds import *  # noqa: F403
else:

    def __getattr__(name: str) -> Any:
        """Build the models when the first of them is asked for: a small command takes less time than that."""
        return getattr(import_module("ferry.artefacts.kinds"), name)
