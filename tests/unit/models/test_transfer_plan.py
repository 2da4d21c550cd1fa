from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ferry.artefacts.figures import assumed, unknown
from ferry.cli import app
from ferry.errors import InvalidField
from ferry.models.transfer_plan import EFFICIENCY, days_on, describe, plan_transfer

TB = 1e12


def plan(size: float = 0.66 * TB, mbps: float = 1000, **more: Any) -> Any:
    given = {"wanted_days": 1, **more}
    return plan_transfer(assumed(size, "bytes", "weights"), assumed(mbps, "Mbit/s", "site.yaml"), **given)


def test_the_overhead_is_that_of_ethernet_tcp_and_tls() -> None:
    assert pytest.approx(0.94022, abs=1e-5) == EFFICIENCY


def test_an_uplink_takes_size_over_what_of_it_is_content_and_is_given() -> None:
    # 86,400 s at 1 Gbit/s, half of it, 94.023 % content: 5.0773 TB.
    assert days_on(5.0773e12, 1000, 0.5) == pytest.approx(1, abs=1e-4)
    assert days_on(5.0773e12, 1000, 1) == pytest.approx(0.5, abs=1e-4)


def test_what_fits_is_kept_and_what_does_not_names_the_uplink_that_would_do() -> None:
    kept = plan(size=5.07e12)
    assert kept.kept
    missed = plan(size=5.0773e12, wanted_days=0.25)
    assert not missed.kept
    assert missed.needed_mbps == pytest.approx(4000, abs=1)
    assert describe(missed).endswith("or more days, or a way that is not the uplink")


def test_data_sync_does_not_go_beyond_the_uplink() -> None:
    uplink, data_sync, *_ = plan().ways
    assert data_sync.days.value == uplink.days.value
    assert "does not go beyond the uplink" in data_sync.note


def test_a_snowball_is_named_with_its_days_and_with_who_may_still_order_one() -> None:
    snowball = plan(size=200 * TB).ways[3]
    assert snowball.name == "AWS Snowball Edge"
    assert (snowball.days.value, snowball.days.at_least, snowball.days_at_most.value) == (None, 2, 42)
    assert snowball.available.startswith("no, unless the account used it before 7 November 2025")
    assert snowball.note.startswith("3 devices of 80 TB")
    assert plan(region="cn-north-1").ways[3].available == "no: not in the China regions"


def test_a_terminal_is_for_enterprise_customers_and_its_days_are_not_invented() -> None:
    terminal = plan(size=100 * TB).ways[2]
    assert terminal.days.basis == "unknown"
    assert terminal.days.at_least == pytest.approx(days_on(100 * TB, 100_000, 1))
    assert terminal.available.startswith("to AWS Enterprise customers")


def test_prices_that_the_catalogue_lacks_are_unknown_and_never_0() -> None:
    costs = dict(plan(size=1 * TB, region="us-east-1").costs)
    assert str(costs["S3 storage of the models, a month"].amount) == "23.00"
    assert costs["AWS DataSync, by the GB"].amount is None
    assert plan().costs == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 0}, "--share 0"),
        ({"share": 1.1}, "--share 1.1"),
        ({"wanted_days": 0}, "--days 0"),
        ({"wanted_days": float("nan")}, "--days nan"),
        ({"size": 0}, "size of the models is unknown"),
        ({"mbps": 0}, "uplink is unknown"),
    ],
)
def test_what_cannot_be_planned_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidField, match=message):
        plan(**change)


def test_an_unknown_uplink_says_where_to_write_it() -> None:
    with pytest.raises(InvalidField, match=r"set location\.uplink_mbps in site\.yaml"):
        plan_transfer(assumed(1, "bytes", "x"), unknown("Mbit/s"), wanted_days=1)


SITE = """
schema: ferry/site/v1
name: my-site
location: {country: US, time_zone: America/New_York, uplink_mbps: 1000}
cluster: {nodes: 1, gpus_per_node: 8, accelerator: A100-SXM4-80GB}
serving: [{name: chat, model: nowhere, engine: vllm}]
costs: {currency: USD}
"""


@pytest.mark.parametrize(("days", "code"), [("2", 0), ("0.5", 3)])
def test_the_command_answers_no_by_its_exit_code(tmp_path: Path, days: str, code: int) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(SITE, encoding="utf-8")
    done = CliRunner().invoke(
        app, ["models", "plan-transfer", str(site), "--days", days, "--size-gb", "5077", "--json"]
    )
    assert done.exit_code == code
    assert f'"kept": {"true" if code == 0 else "false"}' in done.stdout
