"""Xids, the error numbers of NVIDIA's driver: what each means, and what to do about it.

`nvidia_action` and `nvidia_investigation` are NVIDIA's own resolution buckets (immediate and investigatory action) for
Ampere and newer; codes that its catalogue calls unused are left out, except 61, which older drivers send. NVIDIA names
no classes any more: `kind` is the part of the machine that the code's mnemonic speaks of. `application` are the engines
that a program drives, its streams of commands, and what NVIDIA's device plugin for Kubernetes does not count against a
GPU (internal/rm/health.go). `action` follows from the bucket; where NVIDIA gives none (162 to 172) it is Ferry's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Literal, cast, get_args

from ferry.catalog import table
from ferry.errors import CatalogError

Kind = Literal["application", "memory", "link", "driver", "board"]
Action = Literal[
    "ignore", "watch", "follow", "restart-application", "recovery-action", "update-driver", "contact-support",
    "check-link", "check-power-cable", "reset-gpu", "restart-server",
]  # fmt: skip
"""From harmless to grave."""


@dataclass(frozen=True)
class Xid:
    """One code. The buckets are empty where NVIDIA's catalogue names none."""

    code: int
    name: str
    kind: Kind
    nvidia_action: str
    nvidia_investigation: str
    action: Action
    as_of: date
    source: str


def find(code: int) -> Xid:
    """What the code means. Raises CatalogError for one that is not here; then NVIDIA's answer is to ask support."""
    try:
        return _by_code()[code]
    except KeyError:
        raise CatalogError(
            f"unknown Xid {code}; the catalogue has {len(_by_code())}, in ferry/catalog/xids.csv"
        ) from None


def all_xids() -> tuple[Xid, ...]:
    """Every code, in order."""
    return tuple(_by_code().values())


@cache
def _by_code() -> dict[int, Xid]:
    return {
        int(row["code"]): Xid(
            code=int(row["code"]),
            name=row["name"],
            kind=cast(Kind, _one_of(Kind, row["class"], row)),
            nvidia_action=row["nvidia_action"],
            nvidia_investigation=row["nvidia_investigation"],
            action=cast(Action, _one_of(Action, row["action"], row)),
            as_of=date.fromisoformat(row["as_of"]),
            source=row["source"],
        )
        for row in table.rows("xids")
    }


def _one_of(kind: object, value: str, row: dict[str, str]) -> str:
    if value not in get_args(kind):
        raise CatalogError(f"xids.csv, Xid {row['code']}: {value!r} is none of {', '.join(get_args(kind))}")
    return value
