"""Refreshing the catalogue: what is asked of AWS, what is kept, and that it comes before what ships."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ferry.catalog import prices, table
from ferry.catalog.aws import Clients
from ferry.catalog.refresh import refresh
from ferry.cli import app
from ferry.errors import CatalogError, InvalidField
from tests.aws_answers import Answers
from tests.plans import empty_project

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _only_shipped_prices_afterwards() -> Iterator[None]:
    yield
    table.read_first(None)


def product(name: str, price: str, currency: str = "USD", **attributes: str) -> str:
    dimension = {"unit": "Hrs", "pricePerUnit": {currency: price}}
    return json.dumps(
        {
            "product": {"attributes": {"instanceType": name, **attributes}},
            "terms": {"OnDemand": {"t": {"priceDimensions": {"d": dimension}}}},
        }
    )


def price_list(answers: Answers, *products: str, region: str = "us-east-1", at: str = "us-east-1") -> None:
    filters = {
        "regionCode": region,
        "instanceFamily": "GPU instance",
        "operatingSystem": "Linux",
        "preInstalledSw": "NA",
        "tenancy": "Shared",
        "capacitystatus": "Used",
    }
    request = {
        "ServiceCode": "AmazonEC2",
        "Filters": [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in filters.items()],
    }
    answers.add("pricing", at, "get_products", {"PriceList": list(products)}, request)


def spot_history(answers: Answers, *entries: tuple[str, str], region: str = "us-east-1", asked: list[str]) -> None:
    request = {"InstanceTypes": asked, "ProductDescriptions": ["Linux/UNIX"], "StartTime": NOW, "EndTime": NOW}
    history = [{"InstanceType": name, "SpotPrice": price} for name, price in entries]
    answers.add("ec2", region, "describe_spot_price_history", {"SpotPriceHistory": history}, request)


def rate(name: str, value: str, years: int, usage: str = "BoxUsage") -> dict[str, Any]:
    return {
        "savingsPlanOffering": {"durationSeconds": years * 31_536_000, "planType": "EC2Instance"},
        "rate": value,
        "unit": "Hrs",
        "usageType": f"USE2-{usage}:{name}",
        "properties": [{"name": "region", "value": "us-east-2"}, {"name": "instanceType", "value": name}],
    }


def no_savings_plans(answers: Answers, at: str = "us-east-1") -> None:
    answers.add("savingsplans", at, "describe_savings_plans_offering_rates", {"searchResults": []})


def test_all_three_kinds_are_read_and_dated(tmp_path: Path) -> None:
    answers = Answers()
    price_list(answers, product("g5.xlarge", "1.1000000000"), product("g5.2xlarge", "1.3"))
    spot_history(
        answers, ("g5.xlarge", "0.40"), ("g5.xlarge", "0.50"), ("g5.2xlarge", "0.6"), asked=["g5.2xlarge", "g5.xlarge"]
    )
    answers.add(
        "savingsplans",
        "us-east-1",
        "describe_savings_plans_offering_rates",
        {"searchResults": [rate("g5.xlarge", "0.7", 1)], "nextToken": "more"},
    )
    answers.add(
        "savingsplans",
        "us-east-1",
        "describe_savings_plans_offering_rates",
        {"searchResults": [rate("g5.xlarge", "0.5", 3), rate("g5.xlarge", "9", 1, usage="UnusedBox")]},
    )
    steps: list[str] = []
    made = refresh(["us-east-1"], tmp_path, clients=answers, now=NOW, progress=steps.append)
    answers.all_asked()
    assert (made.found, made.missing) == ({"on_demand": 2, "spot": 2, "savings": 2}, ())
    assert steps == ["us-east-1: on demand", "us-east-1: spot", "us-east-1: savings"]
    table.read_first(tmp_path)
    assert prices.on_demand("g5.xlarge", "us-east-1") == prices.Price(
        Decimal("1.1"), "USD", date(2026, 11, 24), "AWS Price List"
    )
    assert prices.spot("g5.xlarge", "us-east-1").per_hour == Decimal("0.45")
    assert prices.savings_plan("g5.xlarge", "us-east-1", 1).per_hour == Decimal("0.7")
    assert prices.savings_plan("g5.xlarge", "us-east-1", 3).per_hour == Decimal("0.5")


def test_what_was_not_refreshed_stays_as_it_ships(tmp_path: Path) -> None:
    answers = Answers()
    price_list(answers, product("g5.xlarge", "1.1"))
    spot_history(answers, asked=["g5.xlarge"])
    no_savings_plans(answers)
    refresh(["us-east-1"], tmp_path, clients=answers, now=NOW)
    shipped = prices.savings_plan("g5.xlarge", "us-east-1", 1)
    table.read_first(tmp_path)
    assert prices.on_demand("g5.xlarge", "us-east-1").per_hour == Decimal("1.1")
    assert prices.spot("g5.xlarge", "us-east-1").as_of == date(2025, 5, 28)
    assert prices.savings_plan("g5.xlarge", "us-east-1", 1) == shipped
    assert prices.on_demand("g5.xlarge", "eu-west-1").as_of == date(2025, 5, 28)


def test_a_second_refresh_keeps_the_other_regions(tmp_path: Path) -> None:
    for region, price in (("us-east-1", "1.1"), ("eu-west-1", "1.2")):
        answers = Answers()
        price_list(answers, product("g5.xlarge", price), region=region)
        spot_history(answers, region=region, asked=["g5.xlarge"])
        no_savings_plans(answers)
        refresh([region], tmp_path, clients=answers, now=NOW)
    table.read_first(tmp_path)
    assert prices.on_demand("g5.xlarge", "us-east-1").per_hour == Decimal("1.1")
    assert prices.on_demand("g5.xlarge", "eu-west-1").per_hour == Decimal("1.2")


def test_china_has_an_endpoint_of_its_own_and_its_own_currency(tmp_path: Path) -> None:
    answers = Answers()
    listed = product("g5.xlarge", "9.6", "CNY")
    price_list(answers, listed, region="cn-north-1", at="cn-northwest-1")
    spot_history(answers, ("g5.xlarge", "3.2"), region="cn-north-1", asked=["g5.xlarge"])
    no_savings_plans(answers, at="cn-northwest-1")
    refresh(["cn-north-1"], tmp_path, clients=answers, now=NOW)
    answers.all_asked()
    table.read_first(tmp_path)
    for price, amount in ((prices.on_demand, "9.6"), (prices.spot, "3.2")):
        found = price("g5.xlarge", "cn-north-1")
        assert (found.per_hour, found.currency) == (Decimal(amount), "CNY")


def test_capacity_blocks_and_types_that_the_catalogue_does_not_have_are_passed_over(tmp_path: Path) -> None:
    answers = Answers()
    price_list(
        answers,
        product("p5.48xlarge", "0.0000000000", marketoption="CapacityBlock"),
        product("p5.48xlarge", "31.464", marketoption="CapacityBlock"),
        product("p5.48xlarge", "55.04", marketoption="OnDemand"),
        product("g3.4xlarge", "1.14"),
    )
    spot_history(answers, asked=["p5.48xlarge"])
    no_savings_plans(answers)
    assert refresh(["us-east-1"], tmp_path, clients=answers, now=NOW).found == {"on_demand": 1}
    assert "g3.4xlarge" not in (tmp_path / "prices.csv").read_text(encoding="utf-8")


def test_two_prices_of_one_type_are_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    answers = Answers()
    price_list(answers, product("g5.xlarge", "1.0"), product("g5.xlarge", "1.2"))
    with pytest.raises(CatalogError, match=r"g5\.xlarge in us-east-1: the price list has 1 and 1\.2 USD"):
        refresh(["us-east-1"], tmp_path, clients=answers, now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_what_the_account_may_not_read_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    answers = Answers()
    price_list(answers, product("g5.xlarge", "1.1"))
    answers.refuse("ec2", "us-east-1", "describe_spot_price_history", "UnauthorizedOperation", "not\nyou")
    answers.refuse("savingsplans", "us-east-1", "describe_savings_plans_offering_rates", "AccessDeniedException")
    made = refresh(["us-east-1"], tmp_path, clients=answers, now=NOW)
    assert made.found == {"on_demand": 1}
    assert made.missing == (
        "spot prices of us-east-1: AWS refuses DescribeSpotPriceHistory with UnauthorizedOperation: not you",
        "savings prices of us-east-1: AWS refuses DescribeSavingsPlansOfferingRates with AccessDeniedException: no",
    )


def test_without_the_price_list_there_is_no_refresh(tmp_path: Path) -> None:
    answers = Answers()
    answers.refuse("pricing", "us-east-1", "get_products", "AccessDeniedException")
    with pytest.raises(CatalogError, match="on-demand prices of us-east-1: AWS refuses GetProducts with AccessDenied"):
        refresh(["us-east-1"], tmp_path, clients=answers, now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_without_credentials_the_error_says_how_to_have_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CatalogError, match="no AWS credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or run aws sso"):
        refresh(["us-east-1"], tmp_path / "out", clients=Clients(), now=NOW)


def test_a_region_has_to_be_named_and_known(tmp_path: Path) -> None:
    with pytest.raises(InvalidField, match="name at least one region: ferry catalog refresh --region us-east-1"):
        refresh([], tmp_path, clients=Answers())
    with pytest.raises(CatalogError, match="unknown region 'us-east-9'"):
        refresh(["us-east-9"], tmp_path, clients=Answers())


def test_a_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("instance_type,price\ng5.xlarge,1\n", encoding="utf-8")
    table.read_first(tmp_path)
    with pytest.raises(CatalogError, match="its columns are not those of this Ferry; delete it and run ferry catalog"):
        prices.on_demand("g5.xlarge", "us-east-1")


def test_the_command_writes_into_the_project_and_the_next_command_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Answers()
    answers.add("pricing", "us-east-1", "get_products", {"PriceList": [product("g5.xlarge", "1.1")]})
    for service, method in (
        ("ec2", "describe_spot_price_history"),
        ("savingsplans", "describe_savings_plans_offering_rates"),
    ):
        answers.refuse(service, "us-east-1", method, "AccessDenied")
    monkeypatch.setattr(Clients, "client", lambda self, service, region: answers.client(service, region))
    monkeypatch.chdir(empty_project(tmp_path / "project"))
    done = CliRunner().invoke(app, ["catalog", "refresh", "--region", "us-east-1"])
    assert done.exit_code == 0
    said = " ".join(done.stdout.split())
    assert "prices.csv: 1 on demand" in said
    assert "not read: spot prices of us-east-1: AWS refuses DescribeSpotPriceHistory with AccessDenied: no" in said
    CliRunner().invoke(app, ["cost"])
    assert prices.on_demand("g5.xlarge", "us-east-1").per_hour == Decimal("1.1")
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, ["cost"])
    assert prices.on_demand("g5.xlarge", "us-east-1").per_hour == Decimal("1.006")
