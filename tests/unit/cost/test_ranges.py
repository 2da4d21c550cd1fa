"""Ranges: shipped with sources, replaced by name, refused when absurd."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from ferry.cost.inputs import Inputs
from ferry.cost.ranges import Range, around, load
from ferry.errors import InvalidField, UnknownSchema

Make = Callable[..., Inputs]


def write(folder: Path, text: str) -> Path:
    path = folder / "ranges.yaml"
    path.write_text(f"schema: ferry/ranges/v1\nranges:\n  {text}\n", encoding="utf-8")
    return path


def test_every_shipped_range_is_of_an_input_and_has_a_source(inputs: Make) -> None:
    parts, own = load()
    found, unknown = around(inputs(), parts, own)
    assert len(parts) == 18
    assert unknown == []
    assert {one.name for one in found} == parts.keys()
    assert all(one.low <= one.base <= one.high and one.source for one in found)


def test_factors_are_of_the_known_value_and_stay_within_what_is_possible(inputs: Make) -> None:
    found = {one.name: one for one in around(inputs(pue=Decimal("1.05"), residual_share=Decimal("0.9")), load()[0])[0]}
    assert (found["server_price"].low, found["server_price"].high) == (170_000, 230_000)
    assert found["pue"].low == 1
    assert found["residual_share"].high == 1


def test_an_unknown_input_is_not_varied_and_is_named(inputs: Make) -> None:
    found, unknown = around(inputs(mtbf_hours=None), load()[0])
    assert unknown == ["mtbf_hours"]
    assert "mtbf_hours" not in {one.name for one in found}


def test_what_the_site_left_out_is_not_drawn_unless_a_file_gives_it(inputs: Make, tmp_path: Path) -> None:
    left_out = inputs(unstated=frozenset({"resale_share", "staff_freed_share"}))
    given = load(write(tmp_path, "resale_share: {between: [0, 0.5], source: a broker}"))
    for parts, own, drawn in ((*load(), False), (*given, True)):
        found = {one.name: one for one in around(left_out, parts, own)[0]}
        assert found["resale_share"].drawn is drawn
        assert found["staff_freed_share"].drawn is False


def test_a_file_replaces_entries_by_name(inputs: Make, tmp_path: Path) -> None:
    parts, own = load(write(tmp_path, "price_per_kwh: {between: [0.05, 0.2], source: our contract}"))
    found = {one.name: one for one in around(inputs(), parts, own)[0]}
    assert found["price_per_kwh"] == Range(
        "price_per_kwh", Decimal("0.05"), Decimal("0.1"), Decimal("0.2"), "our contract"
    )
    assert found["pue"].source.startswith("assumed")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("moon_phase: {times: [0.5, 2], source: x}", "ranges.moon_phase is not varied; known are aws_availability,"),
        ("pue: {times: [2, 0.5], source: x}", "two numbers from 0 on, the lower one first, given 2 and 0.5"),
        ("pue: {times: [-1, 2], source: x}", "two numbers from 0 on"),
        ("pue: {times: [1.1, 2], source: x}", "times holds 1, the known value itself, given 1.1 and 2"),
        ("pue: {times: [0.5, 2]}", "source: Field required"),
        ("pue: {times: [0.5, 2], between: [1, 2], source: x}", "give either times or between"),
        ("pue: {source: x}", "give either times or between"),
        ("pue: {times: [0.5], source: x}", "at least 2 items"),
        ("pue: {times: [.nan, 2], source: x}", "finite"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_on_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidField) as refused:
        load(write(tmp_path, text))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pue: {between: [2, 3], source: x}", "ranges.pue: 2 to 3 does not hold the known value 1.5"),
        ("utilization: {between: [0, 90], source: x}", "ranges.utilization: a share is 0 to 1, given 0 to 90"),
    ],
)
def test_a_range_that_does_not_fit_the_site_is_refused(inputs: Make, tmp_path: Path, text: str, said: str) -> None:
    parts, own = load(write(tmp_path, text))
    with pytest.raises(InvalidField, match=said):
        around(inputs(), parts, own)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("schema: ferry/site/v1\n", encoding="utf-8")
    with pytest.raises(UnknownSchema, match="this Ferry reads 'ferry/ranges/v1'"):
        load(path)
