"""The policy of a cutover as a YAML file, format `ferry/canary/v1`; examples/canary.yaml explains each field.

    schema: ferry/canary/v1
    steps: [shadow, 1, 5, 25, 50, 100]
    gate: {alpha: 0.05, power: 0.95}
    slo: {error_rate: 0.02, ttft_p99_ms: 2000}

Everything but `schema` has a default. Unknown keys are errors.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ferry.artefacts import first_problem, read_yaml
from ferry.errors import InvalidField

STEPS = ("shadow", 1, 5, 25, 50, 100)


class Part(BaseModel):
    """A part of the file: frozen, closed to unknown keys, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Step(Part):
    """`shadow`, a share of the traffic in percent, or a mapping that also says how long at least."""

    shadow: bool = False
    """Clients are answered by the baseline only; the candidate answers copies that are thrown away."""
    percent: int = Field(ge=1, le=100)
    """Of the traffic; in a shadow step, how much of it is copied."""
    minimum_requests: int | None = Field(default=None, ge=1)
    """At the candidate, in place of the computed sample size: with fewer, less is found than `power` says."""
    minimum_seconds: float | None = Field(default=None, gt=0)
    """None: the gate's."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: Any) -> Any:
        if given == "shadow":
            return {"shadow": True, "percent": 100}
        if isinstance(given, int) and not isinstance(given, bool):
            return {"percent": given}
        if not isinstance(given, dict | Step):
            raise ValueError("a step is shadow, a whole number of percent, or a mapping with percent")
        return given

    @property
    def name(self) -> str:
        """`shadow` or `25 %`."""
        return "shadow" if self.shadow else f"{self.percent} %"

    @property
    def is_alone(self) -> bool:
        """Whether the candidate answers everything, and the baseline nothing."""
        return not self.shadow and self.percent == 100


class GateSettings(Part):
    """How sure the gate is, and of what."""

    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Largest probability that a candidate as good as the baseline is rolled back at any step of a cutover."""
    power: float = Field(default=0.95, gt=0, lt=1)
    """Probability at each step that the smallest differences below are found."""
    error_rate: float = Field(default=0.01, gt=0, lt=0.5)
    """Of the baseline, as planned for; steps last until this times `error_ratio` would have been found."""
    error_ratio: float = Field(default=2.0, gt=1)
    slow_ratio: float = Field(default=3.0, gt=1, le=50)
    """Likewise for latencies: how many times the 1 % of answers that are slower than the baseline's P99. A doubling of
    the P99 does at least that wherever the tail falls as steeply as the power -1.6 of the latency."""
    tolerated_error_excess: float = Field(default=0.001, ge=0, lt=1)
    """A rate above the baseline's by less is no reason to roll back, however certain it is."""
    tolerated_p99_ratio: float = Field(default=1.25, ge=1)
    """A P99 above the baseline's by less is no reason to roll back: another site is some milliseconds away."""
    hang_seconds: float = Field(default=30.0, gt=0)
    """Without a first byte for so long, a request hangs."""
    minimum_seconds: float = Field(default=60.0, gt=0)
    """Of each step."""
    smallest_kind: float = Field(default=0.05, gt=0, le=1)
    """A latency that fewer of the requests have than this share is compared, but not waited for."""

    @model_validator(mode="after")
    def _rate_after_the_ratio_is_a_rate(self) -> GateSettings:
        if self.error_rate * self.error_ratio >= 1:
            raise ValueError(
                f"error_rate {self.error_rate} times error_ratio {self.error_ratio} is no rate below 1: lower one"
            )
        return self


class Slo(Part):
    """Absolute limits of the candidate, whatever the baseline does. None: no limit."""

    error_rate: float | None = Field(default=None, gt=0, lt=1)
    """Errors, cut answers and hangs together."""
    ttft_p99_ms: float | None = Field(default=None, gt=0)
    """Of streamed answers."""
    tpot_p99_ms: float | None = Field(default=None, gt=0)
    """Of streamed answers whose tokens are known."""


class CanaryPolicy(Part):
    """The file as a whole."""

    schema_: Literal["ferry/canary/v1"] = Field(alias="schema")
    steps: tuple[Step, ...] = Field(default=tuple(Step.model_validate(step) for step in STEPS), min_length=1)
    gate: GateSettings = GateSettings()
    slo: Slo = Slo()

    @field_validator("gate", mode="before")
    @classmethod
    def _there_is_a_gate(cls, given: Any) -> Any:
        if not isinstance(given, dict | GateSettings):
            raise ValueError("traffic moves by evidence only: leave gate out for the default one, or give its settings")
        return given

    @field_validator("steps")
    @classmethod
    def _steps_rise(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        if any(step.shadow for step in steps[1:]):
            raise ValueError("shadow comes first, and once: before the candidate answers a client")
        percents = [step.percent for step in steps if not step.shadow]
        if not percents:
            raise ValueError("shadow alone moves no traffic: add shares in percent, such as [shadow, 5, 50, 100]")
        for before, after in pairwise(percents):
            if before == after:
                raise ValueError(f"{after} % stands there twice; name each share once, rising, such as {list(STEPS)}")
            if after < before:
                raise ValueError(f"{after} % comes after {before} %; shares have to rise, such as {list(STEPS)}")
        if steps[0].is_alone:
            raise ValueError(
                "100 % cannot come first: nothing to compare with would be left; put a smaller share before"
            )
        return steps

    @classmethod
    def load(cls, path: Path) -> CanaryPolicy:
        """The policy of a file. Raises UnreadableInput, or InvalidField naming the file and the field."""
        try:
            return cls.model_validate(read_yaml(path))
        except ValidationError as error:
            raise InvalidField(f"{path}: {first_problem(error)}") from error
