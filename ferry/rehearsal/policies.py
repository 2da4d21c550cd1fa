"""The policies of a project, held against what its program is going to ask for, before anything is created."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ferry import compliance
from ferry.compliance import Context, Resource
from ferry.errors import PolicyBroken
from ferry.rehearsal import program
from ferry.rehearsal.handlers import Account
from stacks.settings import PROJECT, Settings

PACK = "policies"
"""Folder of the policy pack. A project without one has no policies, here as under the engine."""


def hold(project: Path, stack: str, config: Mapping[str, Any], account: Account) -> list[Resource]:
    """What the program is going to ask for, all of it allowed; empty for a project without a policy pack.

    Raises PolicyBroken with every mandatory policy that is broken, and what has to change; the account stays as it is.
    """
    if not (project / PACK).is_dir():
        return []
    resources = program.forecast(project, PROJECT, stack, config, account)
    settings = Settings.from_config(config)
    broken = [one for one in compliance.broken(resources, Context.of(settings)) if one.rule.level == "mandatory"]
    if broken:
        said = "; ".join(
            f"[{one.rule.id}] {one.rule.says.rstrip('.')}, but "
            + ", ".join(f"{seen.resource} has {seen.property} {seen.value}" for seen in one.broken[:3])
            + (f" and {len(one.broken) - 3} more" if len(one.broken) > 3 else "")
            + f": {one.rule.remedy}"
            for one in broken
        )
        raise PolicyBroken(f"stack {stack} breaks {len(broken)} of {len(compliance.RULES)} policies: {said}")
    return resources
