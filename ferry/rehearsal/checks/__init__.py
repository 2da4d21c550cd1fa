"""The checks: statements about the embedded account, each held against its own describe calls.

    @check
    def model_bucket_is_encrypted_with_kms(account: Account, stack: Stack) -> Iterator[Seen]:
        ...
        yield Seen(resource=bucket, expected="aws:kms", found=algorithm)

The name of the function, with spaces, is the name of the check. Each check is proven by a test that changes the
account behind the program's back and sees exactly that check fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ferry.artefacts import Check
from ferry.rehearsal.handlers import Account
from ferry.rehearsal.snapshot import Snapshot
from stacks.settings import Settings


@dataclass(frozen=True)
class Stack:
    """What the program was asked for, and what it exported."""

    settings: Settings
    outputs: Mapping[str, Any]

    @property
    def elsewhere(self) -> Stack | None:
        """Likewise, of the second region; None where there is none."""
        if (settings := self.settings.elsewhere) is None:
            return None
        return Stack(settings, self.outputs.get("failover", {}))


@dataclass(frozen=True)
class Seen:
    """What a check saw of one resource; the check's name is added by `run`."""

    resource: str
    expected: str
    found: str

    @property
    def passed(self) -> bool:
        """A check passes when what was found is what was expected."""
        return self.expected == self.found


Question = Callable[[Account, Stack], Iterator[Seen]]

CHECKS: dict[str, Question] = {}

IN_EACH_REGION = frozenset(
    {"fleet_scaling", "inference_fleet", "inference_gateway", "inference_node", "monitoring", "network", "patching"}
)
"""Modules whose checks hold in a second region, too. What is asked of that region alone stands in `failover`."""
ONCE = frozenset({"the month has the budget of the stack", "the dashboard shows each version"})
"""Checks of these modules on what an account has once."""


def check(question: Question) -> Question:
    """Register a check under its function's name."""
    CHECKS[question.__name__.replace("_", " ")] = question
    return question


def run(account: Account, stack: Stack) -> list[Check]:
    """Every check on every resource it concerns.

    A check that sees no resource at all fails: it proved nothing. So does one whose resource the account
    has lost, or the program did not export.
    """
    moment = Snapshot(account)
    asked = [(name, question, moment, stack) for name, question in CHECKS.items()]
    if elsewhere := stack.elsewhere:
        region = elsewhere.settings.region
        asked += [
            (f"{name}, in {region}", question, moment.within(region), elsewhere)
            for name, question in CHECKS.items()
            if question.__module__.rpartition(".")[2] in IN_EACH_REGION and name not in ONCE
        ]
    results = []
    for name, question, place, of in asked:
        seen: list[Seen] = []
        try:
            seen += question(place, of)
        except (ClientError, LookupError) as error:
            seen.append(Seen("none", "an answer", f"{type(error).__name__}: {' '.join(str(error).split())}"))
        seen = seen or [Seen("none", "at least one resource", "none")]
        results += [
            Check(name=name, passed=one.passed, resource=one.resource, expected=one.expected, found=one.found)
            for one in seen
        ]
    return results
