"""What a sweep searches: quantisations, scaling, sizes, Spot; as a YAML file, format `ferry/grid/v1`.

    schema: ferry/grid/v1
    instance_types: [g5.xlarge, g6e.xlarge]
    policies: [plan, steps, none]
    steps: [{scale_out_above: 0.7, scale_in_below: 0.4}]
    sizes: [[2, 4], [2, 8], [4, 4]]
    spot_percentages: [0, 50]

What is left out has the default below. Regions are those that the site allows. Unknown keys are errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from ferry.artefacts import Frozen, first_problem, read_yaml
from ferry.catalog import instance_types
from ferry.errors import InvalidField, UnreadableInput
from ferry.planning.sweep.scaling import Scaling, plans_own, shipped_article, stepped, tracked
from stacks.settings import ScalingSettings

SCHEMA = "ferry/grid/v1"
AS_IS = "as-is"
PolicyName = Literal["plan", "article", "steps", "target-tracking", "schedule", "none"]
Percentage = Annotated[int, Field(ge=0, le=100)]


class Grid(Frozen):
    """The search space. All combinations are candidates."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    schema_: Literal["ferry/grid/v1"] = Field(default="ferry/grid/v1", alias="schema")
    quantizations: list[Literal["as-is", "fp8", "awq"]] = Field(default=["as-is", "fp8", "awq"], min_length=1)
    instance_types: list[str] | None = Field(default=None, min_length=1, description="None: all of the catalogue")
    policies: list[PolicyName] = Field(
        default=["plan", "article", "steps", "target-tracking", "schedule", "none"], min_length=1
    )
    steps: list[ScalingSettings] = Field(
        default=[
            ScalingSettings(scale_out_above=0.5, scale_in_below=0.2),
            ScalingSettings(scale_out_above=0.65, scale_in_below=0.4),
            ScalingSettings(scale_out_above=0.95, scale_in_below=0.5),
        ],
        description="thresholds of the policy `steps`; their warm-up is the instance's start, as in a plan",
    )
    targets: list[Annotated[float, Field(gt=0)]] = Field(
        default=[0.4, 0.6, 0.8], description="loads that `target-tracking` holds"
    )
    sizes: list[tuple[int, int]] | None = Field(
        default=None, min_length=1, description="least and most instances; None: by size_factors"
    )
    size_factors: list[Annotated[float, Field(gt=0)]] = Field(
        default=[0.25, 0.5, 0.75, 1.0, 1.5],
        min_length=1,
        description="each pair of them, times the instances that the roofline needs for the trace's peak",
    )
    spot_percentages: list[Percentage] = Field(default=[0, 50], min_length=1)
    max_refused_share: float = Field(
        default=0.01, ge=0, le=1, description="of the requests, longer than the engine accepts"
    )

    @field_validator("sizes")
    @classmethod
    def _sizes_are_in_order(cls, sizes: list[tuple[int, int]] | None) -> list[tuple[int, int]] | None:
        for low, high in sizes or []:
            if not 1 <= low <= high:
                raise ValueError(f"least and most instances are {low} and {high}; allowed is 1 <= least <= most")
        return sizes

    @model_validator(mode="after")
    def _every_policy_has_its_figures(self) -> Grid:
        if "steps" in self.policies and not self.steps:
            raise ValueError("the policy steps needs thresholds: name some under steps")
        if "target-tracking" in self.policies and not self.targets:
            raise ValueError("the policy target-tracking needs loads to hold: name some under targets")
        return self

    def scalings(self) -> Iterator[Scaling]:
        """The policies with their figures, without repetition."""
        seen: set[Scaling] = set()
        for name in self.policies:
            for scaling in self._named(name):
                if scaling not in seen:
                    seen.add(scaling)
                    yield scaling

    def _named(self, name: PolicyName) -> list[Scaling]:
        if name == "steps":
            return [stepped(settings) for settings in self.steps]
        if name == "target-tracking":
            return [tracked(target) for target in self.targets]
        return (
            [{"plan": plans_own, "article": shipped_article}[name]()]
            if name in ("plan", "article")
            else [
                Scaling(name=name, kind=name)  # type: ignore[arg-type]
            ]
        )


def read_grid(path: Path) -> Grid:
    """A grid file. Raises UnreadableInput, InvalidField naming the field, or CatalogError for an instance type."""
    document = read_yaml(path)
    if document.get("schema") != SCHEMA:
        raise UnreadableInput(f"{path}: schema is {document.get('schema')!r}, allowed is {SCHEMA}")
    try:
        grid = Grid.model_validate(document)
    except ValidationError as error:
        raise InvalidField(f"{path}: {first_problem(error)}") from error
    for name in grid.instance_types or ():
        instance_types.find(name)
    return grid
