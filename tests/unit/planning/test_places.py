"""Which regions a plan may use."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from ferry.artefacts import Constraints, Location
from ferry.errors import CatalogError, PlanError
from ferry.planning import places


def names(make: SimpleNamespace, allowed: Sequence[str], residency: str | None, region: str | None = None) -> list[str]:
    facts = make.assessment(constraints=Constraints(regions_allowed=list(allowed), residency=residency))
    return [place.name for place in places.allowed(facts, region)]


def test_the_sites_order_is_kept(make: SimpleNamespace) -> None:
    assert names(make, ["us-west-2", "us-east-1"], None) == ["us-west-2", "us-east-1"]


@pytest.mark.parametrize(
    ("residency", "expected"), [("cn", ["cn-north-1"]), ("eu", ["eu-central-1"]), ("us", ["us-east-1"])]
)
def test_residency_narrows_the_regions(make: SimpleNamespace, residency: str, expected: list[str]) -> None:
    assert names(make, ["us-east-1", "eu-central-1", "eu-west-2", "cn-north-1"], residency) == expected


def test_one_region_can_be_asked_for(make: SimpleNamespace) -> None:
    assert names(make, ["us-west-2", "us-east-1"], None, "us-east-1") == ["us-east-1"]


def test_a_region_that_is_not_allowed_is_refused(make: SimpleNamespace) -> None:
    with pytest.raises(
        PlanError, match="region eu-north-1 is not allowed: the site allows us-east-1; allowed are us-e"
    ):
        names(make, ["us-east-1"], None, "eu-north-1")


def test_an_unknown_region_names_the_nearest(make: SimpleNamespace) -> None:
    with pytest.raises(CatalogError, match="unknown region 'us-east-9'; nearest: us-east-"):
        names(make, ["us-east-9"], None)


def test_a_residency_that_leaves_no_region_says_which_have_it(make: SimpleNamespace) -> None:
    with pytest.raises(PlanError, match=r"no region is left.*residency cn.*: cn-north-1, cn-northwest-1"):
        names(make, ["us-east-1"], "cn")


def test_an_unknown_residency_is_an_error(make: SimpleNamespace) -> None:
    with pytest.raises(PlanError, match="residency 'xx': no AWS region is there; known are eu, ae, au"):
        names(make, ["us-east-1"], "xx")


def test_regions_of_two_currencies_are_not_mixed(make: SimpleNamespace) -> None:
    with pytest.raises(PlanError, match="bill in CNY and in USD"):
        names(make, ["us-east-1", "cn-north-1"], None)


def test_a_site_that_names_no_region_gets_those_of_its_country(make: SimpleNamespace) -> None:
    assert names(make, [], None) == ["us-east-1", "us-east-2", "us-west-1", "us-west-2"]
    chinese = make.assessment(location=Location(country="CN", time_zone="Asia/Shanghai"), constraints=Constraints())
    assert [place.name for place in places.allowed(chinese, None)] == ["cn-north-1"]


def test_a_country_without_a_region_has_to_name_some(make: SimpleNamespace) -> None:
    facts = make.assessment(location=Location(country="NO", time_zone="Europe/Oslo"), constraints=Constraints())
    with pytest.raises(PlanError, match="which has none with prices; name some in constraints"):
        places.allowed(facts, None)
