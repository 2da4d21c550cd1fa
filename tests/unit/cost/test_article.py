"""The source article's ten figures, recomputed."""

from __future__ import annotations

import io
from datetime import date
from decimal import Decimal

import pytest
from rich.console import Console

from ferry.catalog import instance_types
from ferry.catalog.instance_types import InstanceType
from ferry.cost.article import Claim, claims, stale
from ferry.cost.article.text import describe


def boot_seconds(weight_bytes: float, instance: InstanceType) -> float:
    """Six minutes, and a second a gigabyte."""
    return 360 + weight_bytes / 1e9


@pytest.fixture(scope="module")
def found() -> dict[str, Claim]:
    return {claim.says: claim for claim in claims(boot_seconds)}


def claim(found: dict[str, Claim], start: str) -> Claim:
    return next(one for says, one in found.items() if says.startswith(start))


def test_there_are_ten_and_each_says_how_from_what_and_when_it_is_false(found: dict[str, Claim]) -> None:
    assert len(found) == 10
    for one in found.values():
        assert one.formula
        assert one.holds_when
        assert one.false_from
        assert one.inputs
        assert all(given.source for given in one.inputs)


@pytest.mark.parametrize(
    ("start", "outcome"),
    [
        ("7.2 x", "does not come out"),
        ("200,000 USD", "comes out"),
        ("15 kWh", "does not come out"),
        ("68 %", "does not come out"),
        ("1.2 s", "comes out under a condition"),
        ("21 days", "cannot be derived"),
        ("1.2 million", "does not come out"),
        ("utilisation rises", "does not come out"),
        ("MTTR", "comes out under a condition"),
        ("a synchronisation", "comes out under a condition"),
    ],
)
def test_what_comes_of_each(found: dict[str, Claim], start: str, outcome: str) -> None:
    assert claim(found, start).outcome == outcome


def test_an_hour_of_work_is_dearer_on_aws_at_the_articles_own_utilisation(found: dict[str, Claim]) -> None:
    one = claim(found, "7.2 x")
    owned = 200_000 * 0.8 / 36 + 6.5 * 1.5 * 0.12 * 730
    rented = 21.957642 * 730
    assert float(one.value or 0) == pytest.approx(owned / 0.35 / (rented / 0.82))
    needed, equal = owned * 0.82 / (7.2 * rented), owned * 0.82 / rented
    assert (
        one.false_from
        == f"above {needed:.1%} use at home it is less than 7.2 x; from {equal:.0%} on, owning is cheaper"
    )
    assert f"{needed:.1%}" == "3.8%"


def test_less_hardware_cost_needs_servers_that_hardly_work(found: dict[str, Claim]) -> None:
    one = claim(found, "68 %")
    owned, rented = 200_000 * 0.8 / 36, 21.957642 * 730
    assert float(one.value or 0) == pytest.approx(1 - 0.35 / 0.82 * rented / owned)
    assert one.result == "54% more at the article's own 35%, on demand"
    assert one.false_from == "68 % ends at 7.3% use, any saving at 23%: above it owning is cheaper"


def test_a_server_draws_less_than_claimed(found: dict[str, Claim]) -> None:
    one = claim(found, "15 kWh")
    assert one.value == Decimal("9.75")
    assert one.holds_when == "a PUE of 2.31, or two servers at a PUE of 1.15"


def test_a_years_bill_on_aws_is_what_a_year_of_owning_costs(found: dict[str, Claim]) -> None:
    home = 6 * (200_000 * 0.8 / 3 + 6.5 * 1.5 * 0.12 * 8760)
    aws = 6 * 0.35 / 0.82 * 21.957642 * 8760
    one = claim(found, "1.2 million")
    assert f"a year of owning them is {home:,.0f} USD" in one.result
    assert f"on 2.56 x p4d.24xlarge is {aws:,.0f} USD" in one.result
    assert round(home) == 381_495


def test_the_latency_is_that_of_a_faster_accelerator(found: dict[str, Claim]) -> None:
    one = claim(found, "1.2 s")
    assert one.result.startswith("5,349 ms on the A10G of a g5.xlarge, 379 ms on an H100")
    assert "a request takes 3.6 x as long" in one.false_from


def test_recovery_depends_on_the_size_of_the_model(found: dict[str, Claim]) -> None:
    one = claim(found, "MTTR")
    assert one.result == "8 min for 16 GB on g5.xlarge, 19 min for 688.6 GB on p5.48xlarge"
    assert one.holds_when.startswith("the model has up to 420 GB")  # 900 s less 120 and 360


def test_a_synchronisation_of_that_time_is_of_few_parameters(found: dict[str, Claim]) -> None:
    one = claim(found, "a synchronisation")
    # 50 GB/s x 12 ms x 32 / 62, and 16 GB in 50 GB/s x 62 / 32
    assert one.result.startswith("310 to 465 MB of gradients at 50 GB/s a node; those of 8 billion parameters")
    assert one.value == 620
    assert instance_types.find("p4d.24xlarge").network_mbps == 400_000


def test_the_old_prices_behind_the_claims_are_named_once(found: dict[str, Claim]) -> None:
    assert stale(list(found.values()), date(2026, 11, 24)) == [
        "prices from skypilot-catalog v9@2c3d7ea (undated, first half of 2026) are of 2026-01-01, 327 days old: check "
        "them",
        "prices from karpenter-provider-aws zz_generated.pricing are of 2026-07-20, 127 days old: check them",
    ]
    assert stale(list(found.values()), date(2026, 2, 1)) == []


def test_the_text_has_every_claim_and_every_input(found: dict[str, Claim]) -> None:
    written = io.StringIO()
    Console(width=300, file=written).print(describe(list(found.values()), []))
    text = written.getvalue()
    for number, one in enumerate(found.values(), start=1):
        assert f"{number}. {one.says}: {one.outcome}" in text
        assert all(f"{given.name}: " in text for given in one.inputs)
