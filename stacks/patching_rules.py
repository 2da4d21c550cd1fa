"""Rules on the maintenance window in which nodes are scanned: its schedule and its time zone."""

from __future__ import annotations

import re

from stacks.rule import rule
from stacks.scaling_rules import time_zones

SCHEDULES = "https://docs.aws.amazon.com/systems-manager/latest/userguide/reference-cron-and-rate-expressions.html"

_SCHEDULE = re.compile(r"cron\(\S+( \S+){5}\)|rate\([1-9]\d* (minute|hour|day)s?\)")


@rule("patching-schedule", SCHEDULES)
def patching_schedule(*, schedule: str) -> str | None:
    """A maintenance window has a cron expression of six fields, or a rate."""
    if _SCHEDULE.fullmatch(schedule):
        return None
    return (
        f"schedule is {schedule!r}, allowed are cron(minutes hours day-of-month month day-of-week year) and "
        "rate(12 hours): correct it"
    )


@rule("patching-time-zone", SCHEDULES)
def patching_time_zone(*, time_zone: str) -> str | None:
    """The time zone of a maintenance window is a name of the IANA database."""
    if time_zone in time_zones():
        return None
    return f"time_zone is {time_zone!r}, allowed are IANA names such as Asia/Shanghai or Etc/UTC: use one"
