"""How long AWS lets one wait: each duration with its source, or as somebody measured it (`--timings FILE`).

    schema: ferry/timings/v1
    start_seconds: 95      # from launch to a running system with drivers
    engine_seconds: 140    # from loaded weights to the first answer

Each field has a default, which is assumed; what stands in the file is measured. Unknown keys are errors.
What the account itself says (alarm periods, health checks, warm-ups, records' TTLs) is read there and stands not here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ferry.artefacts import Basis, first_problem, read_yaml
from ferry.errors import InvalidField
from ferry.simulation import boot
from ferry.simulation.fleet import SPOT_NOTICE_S

BOOT = "ferry/simulation/boot.py"
GUIDE = "https://docs.aws.amazon.com/autoscaling/ec2/userguide"


@dataclass(frozen=True)
class Duration:
    """Seconds, and what they rest on."""

    seconds: float
    basis: Basis
    source: str


@dataclass(frozen=True, kw_only=True)
class Timings:
    """What a drill needs beyond what the account itself says.

    `image`, `model` and `load` are None where nobody measured them: they are then worked out from bytes and rates.
    """

    start: Duration = Duration(boot.START_SECONDS, "assumed", f"from launch to a running system, {BOOT}")
    image: Duration | None = None
    """Fetching the engine's image."""
    model: Duration | None = None
    """Fetching the model."""
    load: Duration | None = None
    """Reading the model from the node's disk."""
    engine: Duration = Duration(boot.ENGINE_SECONDS, "assumed", f"graph capture and warm-up of the engine, {BOOT}")
    metric_delay: Duration = Duration(
        60, "assumed", "CloudWatch may take a minute to have a datapoint, ferry/simulation/alarms.py"
    )
    health_verdict: Duration = Duration(
        60, "assumed", f"a group looks at its nodes periodically, AWS does not say how often; {GUIDE}/healthcheck.html"
    )
    spot_notice: Duration = Duration(SPOT_NOTICE_S, "assumed", "EC2 User Guide, Spot Instance interruption notices")
    person: Duration = Duration(600, "assumed", "from a notice to a hand on the keyboard")
    record_propagation: Duration = Duration(
        60, "assumed", "https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetChange.html: within 60 seconds"
    )

    @classmethod
    def load_file(cls, path: Path) -> Timings:
        """The timings of a file. Raises UnreadableInput, or InvalidField naming the file and the field."""
        try:
            given = _File.model_validate(read_yaml(path))
        except ValidationError as error:
            raise InvalidField(f"{path}: {first_problem(error)}") from error
        measured: dict[str, Any] = {
            name.removesuffix("_seconds"): Duration(value, "measured", path.name)
            for name, value in given
            if name != "schema_" and value is not None
        }
        return replace(cls(), **measured)


class _File(BaseModel):
    """The file as a whole, in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_: Literal["ferry/timings/v1"] = Field(alias="schema")
    start_seconds: float | None = Field(default=None, ge=0)
    image_seconds: float | None = Field(default=None, ge=0)
    model_seconds: float | None = Field(default=None, ge=0)
    load_seconds: float | None = Field(default=None, ge=0)
    engine_seconds: float | None = Field(default=None, ge=0)
    metric_delay_seconds: float | None = Field(default=None, ge=0)
    health_verdict_seconds: float | None = Field(default=None, ge=0)
    spot_notice_seconds: float | None = Field(default=None, ge=0)
    person_seconds: float | None = Field(default=None, ge=0)
    record_propagation_seconds: float | None = Field(default=None, ge=0)
