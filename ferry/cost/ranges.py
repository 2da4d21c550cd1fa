"""How far each input may be off: data with sources, shipped as ranges.yaml and replaced entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ferry.artefacts import first_problem, read_yaml
from ferry.cost.inputs import Inputs
from ferry.errors import InvalidField, UnknownSchema

SCHEMA = "ferry/ranges/v1"
_SHARES = {"residual_share", "resale_share", "staff_freed_share", "utilization", "aws_availability"}
_LEAST = {"pue": Decimal(1)}

Pair = Annotated[list[Decimal], Field(min_length=2, max_length=2)]


class RangePart(BaseModel):
    """One entry: either `times`, factors of the known value, or `between`, two values."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    times: Pair | None = None
    between: Pair | None = None
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _one_of_them(self) -> RangePart:
        given = self.times or self.between
        if (self.times is None) == (self.between is None) or given is None:
            raise ValueError("give either times or between, each with two numbers")
        if not 0 <= given[0] <= given[1]:
            raise ValueError(f"expected two numbers from 0 on, the lower one first, given {given[0]} and {given[1]}")
        if self.times is not None and not self.times[0] <= 1 <= self.times[1]:
            raise ValueError(f"times holds 1, the known value itself, given {self.times[0]} and {self.times[1]}")
        return self


class RangesPart(BaseModel):
    """A whole file of ranges."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal["ferry/ranges/v1"] = Field(alias="schema")
    ranges: dict[str, RangePart]


@dataclass(frozen=True)
class Range:
    """What an input may be: `low` ≤ `base` ≤ `high`, in the input's own unit.

    `drawn` is False for what nobody stated: it is varied alone, and left out of the simulation.
    """

    name: str
    low: Decimal
    base: Decimal
    high: Decimal
    source: str
    drawn: bool = True


def load(path: Path | None = None) -> tuple[Mapping[str, RangePart], frozenset[str]]:
    """The shipped entries with those of a file in their place, and the names of the file's own.

    Raises InvalidField, UnknownSchema or UnreadableInput.
    """
    shipped = RangesPart.model_validate(
        yaml.safe_load(resources.files(__package__).joinpath("ranges.yaml").read_text(encoding="utf-8"))
    ).ranges
    if path is None:
        return shipped, frozenset()
    document = read_yaml(path)
    if document.get("schema") != SCHEMA:
        raise UnknownSchema(f"{path}: schema is {document.get('schema')!r}, this Ferry reads {SCHEMA!r}")
    try:
        own = RangesPart.model_validate(document).ranges
    except ValidationError as error:
        raise InvalidField(f"{path}: {first_problem(error)}") from error
    if unknown := sorted(own.keys() - shipped.keys()):
        raise InvalidField(f"{path}: ranges.{unknown[0]} is not varied; known are {', '.join(sorted(shipped))}")
    return {**shipped, **own}, frozenset(own)


def around(
    inputs: Inputs, parts: Mapping[str, RangePart], own: frozenset[str] = frozenset()
) -> tuple[list[Range], list[str]]:
    """The ranges of the known inputs, by name, and the names of those that are unknown and so are not varied.

    `own` are the entries that a person gave: those are drawn, whatever the site leaves out.

    Raises InvalidField for a range that does not hold the known value, or of a share that leaves 0 to 1.
    """
    ranges: list[Range] = []
    unknown: list[str] = []
    for name in sorted(parts):
        base: Decimal | None = getattr(inputs, name)
        if base is None:
            unknown.append(name)
            continue
        found = _range(name, base, parts[name])
        if found.low < found.high:
            ranges.append(replace(found, drawn=name in own or name not in inputs.unstated))
    return ranges, unknown


def _range(name: str, base: Decimal, part: RangePart) -> Range:
    if part.times is not None:
        low, high = base * part.times[0], base * part.times[1]
        low, high = max(low, _LEAST.get(name, low)), min(high, Decimal(1)) if name in _SHARES else high
        return Range(name, low, base, high, part.source)
    low, high = part.between or [base, base]
    if name in _SHARES and high > 1:
        raise InvalidField(f"ranges.{name}: a share is 0 to 1, given {low} to {high}")
    if not low <= base <= high:
        raise InvalidField(f"ranges.{name}: {low} to {high} does not hold the known value {base:g}")
    return Range(name, low, base, high, part.source)
