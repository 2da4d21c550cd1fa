"""What a claim is, and the figures that several of them use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from ferry.catalog import accelerators, instance_types, prices
from ferry.catalog.instance_types import InstanceType

Outcome = Literal["comes out", "comes out under a condition", "does not come out", "cannot be derived"]
BootSeconds = Callable[[float, InstanceType], float]
"""From the bytes of a model and an instance type to the seconds until a new instance serves it."""

ARTICLE = "the article"
REGION = "us-east-1"
RENTED = "p4d.24xlarge"
"""Eight A100 with 40 GB, as in the server whose price the article quotes."""


@dataclass(frozen=True)
class Given:
    """One input of a claim. Only a price of AWS ages: its source names its day."""

    name: str
    value: Decimal
    unit: str
    source: str
    is_price: bool = False


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim. `holds_when` is the assumption that makes it true, `false_from` the utilisation that ends it."""

    says: str
    formula: str
    inputs: tuple[Given, ...]
    result: str
    value: Decimal | None
    outcome: Outcome
    holds_when: str
    false_from: str

    def dump(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {
            "says": self.says,
            "formula": self.formula,
            "inputs": [
                {"name": one.name, "value": str(one.value), "unit": one.unit, "source": one.source}
                for one in self.inputs
            ],
            "result": self.result,
            "value": None if self.value is None else str(self.value),
            "outcome": self.outcome,
            "holds_when": self.holds_when,
            "false_from": self.false_from,
        }


SERVER_PRICE = Given("price of a server of 8 x A100", Decimal(200_000), "USD", ARTICLE)
HOME_USE = Given("utilisation at home", Decimal("0.35"), "share", ARTICLE)
CLOUD_USE = Given("utilisation on AWS", Decimal("0.82"), "share", ARTICLE)
LIFE_MONTHS = Given("lifetime of a server", Decimal(36), "months", "assumed: three years")
RESIDUAL = Given("residual value", Decimal("0.2"), "share", "assumed; 0.25 to 0.35 is said of H100 nodes")
SERVER_KW = Given("most that a DGX A100 draws", Decimal("6.5"), "kW", "NVIDIA DGX A100 data sheet, 2020")
PUE = Given("PUE", Decimal("1.5"), "ratio", "assumed: a server room of its own")
TARIFF = Given("tariff", Decimal("0.12"), "USD/kWh", "assumed")


def rent() -> Given:
    """What eight rented A100 cost an hour on demand."""
    price = prices.on_demand(RENTED, REGION)
    return Given(
        f"{RENTED} on demand in {REGION}", price.per_hour, "USD/h", f"{price.source}, {price.as_of}", is_price=True
    )


def tflops(name: str) -> Given:
    """Dense 16-bit throughput of an accelerator."""
    found = accelerators.find(name)
    return Given(
        f"{name}, dense 16 bit", Decimal(repr(found.fp16_dense_tflops)), "TFLOPS", f"{found.source}, {found.as_of}"
    )


def network_gb_s(instance_type: str) -> Given:
    """Network of an instance type, in GB/s."""
    found = instance_types.find(instance_type)
    value = Decimal(found.network_mbps) / 8000
    return Given(f"network of {instance_type}", value, "GB/s", f"{found.source}, {found.as_of}")


def owned_per_month() -> Decimal:
    """What owning the article's server costs a month, hardware alone."""
    return SERVER_PRICE.value * (1 - RESIDUAL.value) / LIFE_MONTHS.value
