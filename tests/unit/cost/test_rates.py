"""Exchange rates: only those that somebody stated."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ferry.artefacts import ExchangeRate
from ferry.cost.rates import rates
from ferry.errors import InvalidField

SITE = ExchangeRate(base="USD", quote="CNY", rate=Decimal("7.0"), as_of="2026-11-01", source="a bank")


def test_a_rate_serves_both_ways() -> None:
    found = rates(["USD/CNY=8"])
    assert found.factor("USD", "CNY") == 8
    assert found.factor("CNY", "USD") == Decimal("0.125")
    assert found.factor("EUR", "EUR") == 1


def test_a_rate_given_on_the_command_line_comes_before_the_sites() -> None:
    assert rates(["USD/CNY=7.1"], [SITE]).factor("USD", "CNY") == Decimal("7.1")
    assert rates([], [SITE]).between("USD", "CNY") == (Decimal("7.0"), "USD/CNY 7.0, a bank, 2026-11-01")


def test_nothing_is_converted_without_a_rate() -> None:
    assert rates([], [SITE]).between("USD", "EUR") is None
    with pytest.raises(InvalidField, match="amounts in USD and EUR cannot be added: give a rate with --rate USD/EUR=…"):
        rates([], [SITE]).factor("USD", "EUR")


@pytest.mark.parametrize(
    "text", ["", "USD/CNY", "USD/CNY=", "USD/CNY=0", "USD/CNY=-7", "usd/cny=7", "USD/USD=1", "7.1"]
)
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidField, match=r"expected two currencies and a positive number, such as USD/CNY=7\.1"):
        rates([text])
