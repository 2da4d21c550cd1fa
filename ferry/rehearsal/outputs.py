"""What a resource is going to be called, before it is there: a name of the right form for each of its outputs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_type_hints

from ferry.rehearsal.handlers import Account, Created

NAMES = frozenset({"name", "bucket", "id"})
"""Outputs by which other resources refer to this one."""


def expected(account: Account, kind: str, name: str, given: Mapping[str, Any]) -> Created:
    """Stand-ins for what AWS answers when `kind name` is created; what is given stays as it is.

    Text gets the resource's name, an ARN names the account, numbers are 1. Lists, objects and optional ones stay out.
    """
    called = str(next((given[key] for key in ("bucket", "name") if key in given), name))
    service = kind.split(":")[1].split("/")[0]
    where = "::" if service == "s3" else f"{given.get('region') or account.region}:{account.account_id}:"
    outputs: dict[str, Any] = {}
    for key, form in _outputs(kind).items():
        if form is int:
            outputs[key] = 1
        elif key == "arn":
            outputs[key] = f"arn:{account.partition}:{service}:{where}{called}"
        else:
            outputs[key] = called if key in NAMES else f"{called}-{key}"
    return Created(called, {key: value for key, value in outputs.items() if key not in given})


@cache
def _outputs(kind: str) -> dict[str, type]:
    """Plain outputs of a type of pulumi-aws (camelCase) to `str` or `int`; empty for a type that it does not have."""
    package, _, module = kind.partition(":")
    if package != "aws":
        return {}
    resource = getattr(importlib.import_module(f"pulumi_aws.{module.split('/')[0]}"), kind.split(":")[-1], object)
    found: dict[str, type] = {}
    for name, member in vars(resource).items():
        if isinstance(member, property):
            form = get_args(get_type_hints(member.fget).get("return"))
            if form in ((str,), (int,)):
                found[getattr(member.fget, "_pulumi_name", name)] = form[0]
    return found
