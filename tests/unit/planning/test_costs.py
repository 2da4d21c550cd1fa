"""The three monthly bills, to the cent."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferry.artefacts import CostLine, FurtherCosts, Training
from ferry.catalog import prices
from ferry.cost.cloud import CloudUse, cloud_lines
from ferry.cost.hybrid import hybrid_lines
from ferry.cost.local import end_of_life, local_items, serving_nodes
from ferry.cost.money import cents, total


def amounts(lines: list[CostLine]) -> dict[str, Decimal | None]:
    return {line.item: line.amount.amount for line in lines}


def use(mean_size: float = 2.0, mean_rps: float = 1.0, region: str = "us-east-1") -> CloudUse:
    return CloudUse(
        region=region,
        instance_type="g5.xlarge",
        price=prices.on_demand("g5.xlarge", region),
        mean_size=mean_size,
        zones=2,
        root_volume_gib=200,
        weights_gb=16,
        mean_rps=mean_rps,
        input_tokens=1000,
        output_tokens=200,
        latency_s=10,
    )


def test_the_local_bill(make: SimpleNamespace) -> None:
    lines = [item.line for item in local_items(make.assessment())]
    assert amounts(lines) == {
        "servers": Decimal("8000.00"),  # 2 x 200,000 x 0.8 / 40
        "NVMe array": Decimal("1000.00"),
        "cooling": Decimal("500.00"),
        "power": Decimal("1314.00"),  # (10 + 10 x 0.2) kW x 1.5 x 730 h x 0.1
        "staff": Decimal("12000.00"),
    }


@pytest.mark.parametrize(("utilization", "expected"), [(0, "1095.00"), (100, "2190.00"), (None, "1095.00")])
def test_power_follows_utilisation_and_is_taken_as_idle_when_unknown(
    make: SimpleNamespace, utilization: float | None, expected: str
) -> None:
    lines = [item.line for item in local_items(make.assessment(utilization=utilization))]
    assert amounts(lines)["power"] == Decimal(expected)


def test_what_was_not_stated_is_unknown_and_not_zero(make: SimpleNamespace) -> None:
    local = make.costs(
        server_price_each=make.money(None), nvme_array=make.money(None), power_price_per_kwh=make.money(None)
    )
    lines = [item.line for item in local_items(make.assessment(local=local))]
    assert total(lines).unknown == ["servers", "NVMe array", "power"]
    assert not total(lines).complete


def test_racks_are_in_the_bill_of_a_site_that_counts_them(make: SimpleNamespace) -> None:
    both, half = (
        local_items(make.assessment(local=make.costs(further=further)))[-1]
        for further in (
            FurtherCosts(racks=make.figure(2, "racks"), rack_price_per_month=make.money("450")),
            FurtherCosts(racks=make.figure(2, "racks")),
        )
    )
    assert (both.line.item, both.line.amount.amount, both.ends) == ("racks", Decimal("900.00"), "with the servers")
    assert (half.line.amount.amount, half.line.detail) == (None, "state costs.racks: count, price_per_month")


def test_serving_has_the_nodes_that_training_leaves(make: SimpleNamespace) -> None:
    jobs = [Training(name=name, launcher="slurm", nodes=1) for name in ("a", "b", "c")]
    assert [serving_nodes(make.assessment(training=jobs[:count])) for count in range(4)] == [2, 1, 0, 0]


def test_the_lifetime_ends_after_its_months(make: SimpleNamespace) -> None:
    assert end_of_life(make.assessment()) == date(2029, 5, 15)
    assert end_of_life(make.assessment(local=make.costs(server_lifetime_months=make.figure(None)))) is None


def test_the_cloud_bill() -> None:
    lines, used = cloud_lines(use())
    assert amounts(lines) == {
        "instances": Decimal("1468.76"),  # 2 x 1.006 x 730
        "root volumes": Decimal("62.00"),  # 2 x (200 x 0.08 + 375 x 0.04)
        "load balancer": Decimal("17.58"),  # 730 x (0.0225 + 0.008 x 3600 x (5,000 + 50,000) B / 1e9)
        "interface endpoints": Decimal("146.15"),  # 10 x 2 x 0.01 x 730 + 15.256 x 0.01
        "transfer out": Decimal("11.83"),  # 2,628,000 x 200 x 250 B x 0.09
        "model and audit storage": Decimal("0.50"),  # (16 + 20 x 30/184) x 0.023 + 20 x 154/184 x 0.0036
        "logs and alarms": Decimal("8.83"),  # (5.256 + 10) x 0.5 + 12 x 0.1
        "keys": Decimal("3.03"),
        "requests": Decimal("0.03"),  # 71,526 GET x 0.0004/1,000 + 238 PUT x 0.005/1,000
        "trail": Decimal("0.07"),
    }
    assert ("karpenter-provider-aws zz_generated.pricing", date(2026, 7, 20)) in used


def test_a_price_of_another_region_is_said_to_be_one() -> None:
    lines, _ = cloud_lines(use(region="eu-north-1"))
    details = {line.item: line.detail for line in lines}
    assert details["interface endpoints"].endswith("; price of us-east-1")
    assert "price of" not in details["transfer out"]


def test_in_china_only_what_has_a_price_in_cny_has_an_amount() -> None:
    lines, _ = cloud_lines(use(region="cn-north-1"))
    known = {item for item, amount in amounts(lines).items() if amount is not None}
    assert known == {"instances", "model and audit storage", "requests"}
    assert total(lines).amounts.keys() == {"CNY"}


@given(rate=st.floats(0.01, 100), more=st.floats(0, 100), size=st.floats(1, 100), wider=st.floats(0, 100))
def test_more_load_never_costs_less(rate: float, more: float, size: float, wider: float) -> None:
    less, greater = (
        total(cloud_lines(use(mean_size=instances, mean_rps=rps))[0]).of("USD")
        for instances, rps in ((size, rate), (size + wider, rate + more))
    )
    assert less <= greater


def test_hybrid_keeps_what_still_has_to_be_paid(make: SimpleNamespace) -> None:
    facts = make.assessment(training=[Training(name="finetune", launcher="slurm", nodes=1)])
    local, (cloud, _) = local_items(facts), cloud_lines(use())
    sunk = hybrid_lines(local, cloud, servers_end=date(2029, 5, 15), servers_replaced=False)
    assert {item: amount for item, amount in amounts(sunk).items() if item.startswith("local")} == {
        "local: servers": Decimal("8000.00"),
        "local: NVMe array": Decimal("1000.00"),
        "local: cooling": Decimal("500.00"),
        "local: power": Decimal("657.00"),
        "local: staff": Decimal("12000.00"),
    }
    assert sunk[0].detail == (
        "sunk: 50% of it serves, and stays on the books until 2029-05-15 unless sold or used for training"
    )
    assert [line.item for line in sunk[5:]] == [f"AWS: {line.item}" for line in cloud]


def test_servers_that_would_be_replaced_end_with_the_move(make: SimpleNamespace) -> None:
    facts = make.assessment(training=[Training(name="finetune", launcher="slurm", nodes=1)])
    lines = hybrid_lines(local_items(facts), [], servers_end=date(2026, 5, 15), servers_replaced=True)
    assert amounts(lines)["local: servers"] == Decimal("4000.00")


def test_currencies_are_added_up_apart(make: SimpleNamespace) -> None:
    lines = [CostLine(item=code, amount=make.money("1.50", code)) for code in ("USD", "CNY", "USD")]
    assert total(lines).amounts == {"USD": Decimal("3.00"), "CNY": Decimal("1.50")}
    assert total(lines).of("EUR") == 0


def test_cents_are_rounded_half_to_even() -> None:
    assert [cents(Decimal(value)) for value in ("0.125", "0.135")] == [Decimal("0.12"), Decimal("0.14")]
