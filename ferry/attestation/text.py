"""What came of a report, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table

from ferry.attestation.verification import Verification

SHOWN = 40
"""Characters of a long number; all of them are in the JSON."""


def document(found: Verification) -> dict[str, Any]:
    """All of it, numbers in hexadecimal digits."""
    result: dict[str, Any] = {
        "accepted": found.accepted,
        "refusals": found.refusals,
        "findings": [asdict(finding) for finding in found.findings],
    }
    if report := found.report:
        result["report"] = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in asdict(report).items()
            if name not in ("signed", "signature")
        }
    if chain := found.chain:
        result["chain"] = {
            "endorsement": chain.endorsement,
            "product": chain.product,
            "tcb": str(chain.tcb),
            "cloud": chain.cloud,
            "root_sha256": chain.root_fingerprint,
        }
    return result


def describe(found: Verification, told: str) -> Group:
    """A row for each thing that was asked, then what came of it."""
    table = Table("", "asked", "found", "expected", box=box.SIMPLE)
    for one in found.findings:
        table.add_row("✓" if one.holds else "✗", one.check, _short(one.found), _short(one.expected))
    return Group(table, told)


def _short(text: str) -> str:
    return " ".join(f"{word[:SHOWN]}…" if len(word) > SHOWN + 1 else word for word in text.split(" "))
