"""The policy of a cutover as a YAML file, format `ferry/canary/v1`.

    schema: ferry/canary/v1
    steps: [shadow, 1, 5, 25, 50, 100]

Everything but `schema` has a default. Unknown keys are errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ferry.artefacts import first_problem, read_yaml
from ferry.errors import InvalidField


class Part(BaseModel):
    """A part of the file: frozen, closed to unknown keys, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Step(Part):
    """`shadow`, a share of the traffic in percent, or a mapping that also says how long at least."""

    shadow: bool = False
    """Clients are answered by the baseline only; the candidate answers copies that are thrown away."""
    percent: int
    """Of the traffic; in a shadow step, how much of it is copied."""
    minimum_requests: int | None = Field(default=None, ge=1)
    minimum_seconds: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: Any) -> Any:
        if given == "shadow":
            return {"shadow": True, "percent": 100}
        if isinstance(given, int) and not isinstance(given, bool):
            return {"percent": given}
        return given

    @property
    def name(self) -> str:
        """`shadow` or `25 %`."""
        return "shadow" if self.shadow else f"{self.percent} %"


class CanaryPolicy(Part):
    """The file as a whole."""

    schema_: Literal["ferry/canary/v1"] = Field(alias="schema")
    steps: tuple[Step, ...] = tuple(Step.model_validate(step) for step in ("shadow", 1, 5, 25, 50, 100))

    @classmethod
    def load(cls, path: Path) -> CanaryPolicy:
        """The policy of a file. Raises UnreadableInput, or InvalidField naming the file and the field."""
        try:
            return cls.model_validate(read_yaml(path))
        except ValidationError as error:
            raise InvalidField(f"{path}: {first_problem(error)}") from error
