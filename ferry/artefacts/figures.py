"""Numbers and amounts with what they rest on: measured, assumed or unknown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Basis = Literal["measured", "assumed", "unknown"]


class Frozen(BaseModel):
    """A part of an artefact: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(Frozen):
    """A number with its unit and what it rests on. `unknown` has no value; the other two name their source.

    `at_least` is a lower bound that was measured where the number itself was not: it is never used as the number.
    """

    value: float | None = None
    unit: str
    basis: Basis
    source: str = ""
    at_least: float | None = None

    @model_validator(mode="after")
    def _basis_is_kept(self) -> Self:
        if (self.basis == "unknown") != (self.value is None):
            raise ValueError(f"a figure is unknown exactly when it has no value, got {self.basis} and {self.value}")
        if self.at_least is not None and self.value is not None:
            raise ValueError(f"a figure with a value has no lower bound, got {self.value} and {self.at_least}")
        if self.basis != "unknown" and not self.source:
            raise ValueError(f"a {self.basis} figure names its source")
        return self

    @model_serializer(mode="wrap")
    def _without_an_empty_bound(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = write(self)
        return fields if self.at_least is not None else {k: v for k, v in fields.items() if k != "at_least"}


class Money(Frozen):
    """An amount with its currency and what it rests on. CNY stays CNY."""

    amount: Decimal | None = None
    currency: str
    basis: Basis
    source: str = ""

    @model_validator(mode="after")
    def _basis_is_kept(self) -> Self:
        if (self.basis == "unknown") != (self.amount is None):
            raise ValueError(f"an amount is unknown exactly when it is missing, got {self.basis} and {self.amount}")
        return self


def measured(value: float, unit: str, source: str) -> Figure:
    """A figure that was read from one of the site's own files or servers."""
    return Figure(value=value, unit=unit, basis="measured", source=source)


def assumed(value: float, unit: str, source: str) -> Figure:
    """A figure that rests on a published value or on a statement that nobody measured."""
    return Figure(value=value, unit=unit, basis="assumed", source=source)


def unknown(unit: str, source: str = "", at_least: float | None = None) -> Figure:
    """A figure that nobody gave; `at_least` where something is known to lie below it."""
    return Figure(unit=unit, basis="unknown", source=source, at_least=at_least)
