"""The catalogue: what it says, what it refuses, and the order of its files."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from ferry.catalog import accelerators, instance_types, prices, regions, services, table
from ferry.errors import CatalogError

KEYS = {
    "accelerators": ("accelerator",),
    "instance_types": ("instance_type",),
    "known_bad": ("product", "id", "versions"),
    "prices": ("instance_type", "region"),
    "regions": ("region",),
    "services": ("item", "region"),
}


@pytest.mark.parametrize("name", KEYS)
def test_every_row_has_a_source_and_a_date(name: str) -> None:
    kinds = ("on_demand_", "spot_", "savings_") if name == "prices" else ("",)
    for row in table.rows(name):
        for kind in kinds:
            terms = ("savings_1yr_", "savings_3yr_") if kind == "savings_" else (kind,)
            value = any(row.get(f"{term}per_hour", "always") for term in terms)
            assert bool(value) == bool(row[f"{kind}source"]) == bool(row[f"{kind}as_of"]), row
            if row[f"{kind}as_of"]:
                assert date.fromisoformat(row[f"{kind}as_of"]) <= date(2026, 11, 30)


@pytest.mark.parametrize(("name", "columns"), KEYS.items())
def test_every_file_is_sorted_and_has_no_row_twice(name: str, columns: tuple[str, ...]) -> None:
    keys = [tuple(row[column] for column in columns) for row in table.rows(name)]
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys))


def test_every_price_is_positive_and_of_a_known_type_and_region() -> None:
    for row in table.rows("prices"):
        instance_types.find(row["instance_type"])
        assert row["currency"] == regions.find(row["region"]).currency
        given = [cell for column, cell in row.items() if column.endswith("_per_hour") and cell]
        assert given
        assert all(Decimal(value) > 0 for value in given)


def test_every_time_zone_exists() -> None:
    assert [ZoneInfo(region.time_zone).key for region in regions.all_regions()]


def test_on_demand_prices_are_those_after_the_cut_of_2025() -> None:
    assert prices.on_demand("p4d.24xlarge", "us-east-1").per_hour == Decimal("21.957642")
    assert prices.on_demand("p5.48xlarge", "us-west-2").per_hour == Decimal("55.04")
    assert prices.on_demand("g5.xlarge", "us-east-1").per_hour == Decimal("1.006")


def test_prices_in_china_stay_in_cny() -> None:
    price = prices.on_demand("g5.xlarge", "cn-north-1")
    assert (price.per_hour, price.currency) == (Decimal("9.51389"), "CNY")


def test_a_spot_price_is_kept_beside_the_on_demand_price() -> None:
    assert prices.spot("p5.48xlarge", "us-east-2").per_hour == Decimal("14.0818")


@pytest.mark.parametrize("region", ["ap-southeast-1", "sa-east-1"])
def test_p4d_prices_from_before_the_cut_are_left_out(region: str) -> None:
    with pytest.raises(CatalogError, match=f"no on-demand price of p4d.24xlarge in {region}"):
        prices.on_demand("p4d.24xlarge", region)


def test_a_commitment_costs_less_the_longer_it_is() -> None:
    one, three = (prices.savings_plan("g5.xlarge", "us-east-1", years) for years in (1, 3))
    assert (one.per_hour, three.per_hour) == (Decimal("0.63378"), Decimal("0.43459"))
    assert (one.as_of, one.source) == (date(2025, 5, 28), "ec2instances.info dump")


def test_no_rate_of_a_commitment_is_from_before_the_cut_of_2025() -> None:
    rates = [row for row in table.rows("prices") if row["savings_1yr_per_hour"] or row["savings_3yr_per_hour"]]
    assert len(rates) == 500
    assert not [row["instance_type"] for row in rates if row["instance_type"].startswith(("p4", "p5", "p6"))]
    with pytest.raises(CatalogError, match=r"no 3-year savings-plan rate of p5\.48xlarge in us-east-1"):
        prices.savings_plan("p5.48xlarge", "us-east-1", 3)


def test_source_and_date_are_found_in_what_a_cost_line_says() -> None:
    assert list(prices.dated("infracost's golden files, 2024-07-01; a list, v2 (undated), 2026-01-01")) == [
        ("infracost's golden files", date(2024, 7, 1)),
        ("a list, v2 (undated)", date(2026, 1, 1)),
    ]
    assert list(prices.dated("stated in site.yaml")) == []


def test_a_missing_price_names_the_regions_that_have_one() -> None:
    with pytest.raises(CatalogError, match=r"the type has one in .*us-east-1"):
        prices.on_demand("p5.48xlarge", "eu-central-1")


def test_a_type_with_only_a_spot_price_has_no_on_demand_price() -> None:
    assert prices.spot("p5e.48xlarge", "us-west-2").per_hour == Decimal("17.7513")
    with pytest.raises(CatalogError, match="the type has one in no region"):
        prices.on_demand("p5e.48xlarge", "us-west-2")


def test_an_unknown_region_names_the_nearest() -> None:
    with pytest.raises(CatalogError, match="unknown region 'us-east-7'; nearest: us-east-2, us-east-1"):
        regions.find("us-east-7")


def test_an_unknown_instance_type_names_the_nearest() -> None:
    with pytest.raises(CatalogError, match=r"nearest: .*g5\.xlarge"):
        instance_types.find("g5.xlarg")


def test_an_unknown_accelerator_names_the_nearest() -> None:
    with pytest.raises(CatalogError, match="nearest: H100"):
        accelerators.find("H1000")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("Tesla T4", "T4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA A10G", "A10G"),
    ],
)
def test_names_of_drivers_are_recognised(text: str, name: str) -> None:
    found = accelerators.recognise(text)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("text", ["A100", "NVIDIA H20", "Ascend 910B", "MI300X", ""])
def test_other_accelerators_are_not_recognised(text: str) -> None:
    assert accelerators.recognise(text) is None


def test_fp8_needs_ada_and_bfloat16_needs_ampere() -> None:
    assert not accelerators.find("A100-80GB").computes_fp8
    assert accelerators.find("L4").computes_fp8
    assert not accelerators.find("T4").has_bfloat16
    assert accelerators.find("A10G").has_bfloat16


def test_figures_from_memory_are_marked() -> None:
    assert accelerators.find("A10G").assumed >= {"fp16_dense_tflops", "memory_bandwidth_gb_s"}
    assert "memory_bandwidth_gb_s" not in accelerators.find("H100").assumed


def test_a_service_price_of_another_region_stands_in_and_says_so() -> None:
    found = services.price("vpc-endpoint", "eu-north-1")
    assert (found.price, found.region) == (Decimal("0.01"), "us-east-1")
    assert services.price("transfer-out", "sa-east-1").price == Decimal("0.15")


def test_no_price_stands_in_for_another_currency() -> None:
    assert services.price("s3-standard", "cn-north-1").price == Decimal("0.195")
    with pytest.raises(CatalogError, match="no CNY price of alb in cn-north-1; known in us-east-1"):
        services.price("alb", "cn-north-1")


def test_an_unknown_service_names_the_nearest() -> None:
    with pytest.raises(CatalogError, match="unknown service 'ebs-gp4'; nearest: ebs-gp3"):
        services.price("ebs-gp4", "us-east-1")


def test_old_prices_are_named_once_per_source_and_date() -> None:
    used = [("a list", date(2026, 1, 1)), ("a list", date(2026, 1, 1)), ("another", date(2026, 10, 1))]
    assert prices.stale_sources(used, date(2026, 11, 24)) == [
        "prices from a list are of 2026-01-01, 327 days old: check them"
    ]
    assert prices.stale_sources([("a list", date(2026, 8, 26))], date(2026, 11, 24)) == []
