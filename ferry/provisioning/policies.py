"""What the engine tells of policies: those that a stack breaks, and those that have to wait for the update."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

COLOURS = re.compile(r"<\{%.*?%\}>")
"""Marks of colour in the engine's messages: sdk/go/common/diag/colors/colors.go."""

WAITS = re.compile(r"can't run policy '([^']+)' .* during preview")
"""What pulumi-policy says, as an advisory, of a policy that meets a value which only AWS can tell."""


def broken(policy: str, level: str, message: str) -> list[str]:
    """What is told of one policy, on one line; nothing of an advisory one."""
    return [f"[{policy}] {' '.join(COLOURS.sub('', message).split())}"] if level == "mandatory" else []


def broken_in(log: str) -> list[str]:
    """The mandatory policies that a preview breaks, from the engine's log of events.

    One JSON object a line: `sdk/go/common/apitype/events.go`. The report itself leaves policies out.
    """
    told = [broken(one["policyName"], one["enforcementLevel"], one["message"]) for one in _events(log)]
    return list(dict.fromkeys(line for lines in told for line in lines))


def waiting_in(log: str) -> list[str]:
    """Names of the policies of which something is asked in the update only, before the resource is created."""
    return sorted({found[1] for one in _events(log) if (found := WAITS.search(one["message"]))})


def _events(log: str) -> Iterator[Mapping[str, Any]]:
    return (one for line in log.splitlines() if (one := json.loads(line).get("policyEvent")))
