"""Two accounts side by side: the same checks ask both, and every answer is compared, not only the verdict.

The accounts draw their ids at random, so each run of eight or more hexadecimal digits counts as one and the same.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

from ferry.rehearsal import checks
from ferry.rehearsal.checks import Stack, run
from ferry.rehearsal.snapshot import Snapshot
from tests.conftest import import_all

VOLATILE = frozenset(
    {
        "HostedZoneId",
        "InstanceProfileId",
        "LatestDeliveryTime",
        "MacAddress",
        "PrivateIpAddress",
        "ResponseMetadata",
        "RoleId",
        "TimeLoggingStarted",
        "TimeLoggingStopped",
        "creationTime",
    }
)
"""Fields that say how the answer travelled, when something was made, or what was drawn at random in another form."""
DRAWN = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8,}|\b(?=[A-Z]*[0-9])[A-Z0-9]{10,}\b"
)


def told(account: Any, stack: Stack) -> dict[str, list[str]]:
    """Each question that the checks put to the account, and the answers it got. Raises where a check fails."""
    import_all(checks)
    snapshot = Snapshot(account)
    failed = sorted(check.name for check in run(snapshot, stack) if not check.passed)
    assert failed == []
    answers: dict[str, list[str]] = defaultdict(list)
    for (service, region, read, arguments), answer in snapshot._answers.items():
        answers[_text([service, region, read, json.loads(arguments)])].append(_text(answer))
    return {question: sorted(each) for question, each in answers.items()}


def differences(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[str]:
    """The questions whose answers differ, each with the words that stand in one answer only."""

    def words(answers: list[str] | None) -> Counter[str]:
        return Counter(re.split(r"[\s,{}\[\]]+", " ".join(answers or ["not asked"])))

    return [
        f"{question}: {sorted((first - second).elements())} and {sorted((second - first).elements())}"
        for question in sorted({*one, *other})
        if one.get(question) != other.get(question)
        for first, second in [(words(one.get(question)), words(other.get(question)))]
    ]


def _text(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if "InstanceId" in value:  # moto draws the zone of a group's instance, not only its id
            value = {key: item for key, item in value.items() if key != "AvailabilityZone"}
        return {key: _plain(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, datetime):
        return "a moment"
    if isinstance(value, list):
        return sorted((_plain(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return DRAWN.sub("#", str(value))
