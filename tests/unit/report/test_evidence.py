"""Every figure of an assessment is listed with what it rests on."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry.artefacts import Figure, Money, measured, unknown
from ferry.assess import assess
from ferry.report.evidence import evidence, figure_text, money_text

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (measured(1234567.0, "bytes", "x"), "1,234,567 bytes"),
        (measured(0.012345, "s", "x"), "0.01235 s"),
        (measured(42.0, "", "x"), "42"),
        (unknown("ms"), "unknown"),
    ],
)
def test_a_figure_is_written_for_a_person(figure: Figure, text: str) -> None:
    assert figure_text(figure) == text


def test_an_amount_keeps_its_currency_and_its_cents() -> None:
    assert money_text(Money(amount="1234.5", currency="CNY", basis="assumed", source="x")) == "1,234.50 CNY"
    assert money_text(Money(currency="USD", basis="unknown")) == "unknown"


def test_the_figures_of_each_part_are_found_under_their_place() -> None:
    found = {one.name: one for one in evidence(assess(ROOT / "examples" / "site" / "site.yaml"))}
    assert found["serving.assistant.trace.mean_rps"].basis == "measured"
    assert found["costs.server_price_each"].text == "165,000.00 USD"
    assert found["costs.server_price_each"].basis == "assumed"
