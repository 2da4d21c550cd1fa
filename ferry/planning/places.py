"""The regions that a plan may use: what the site allows, narrowed by residency."""

from __future__ import annotations

from ferry.artefacts import Assessment
from ferry.catalog import instance_types, prices, regions
from ferry.catalog.regions import Region
from ferry.errors import PlanError

# EU members that have an AWS region (aws.amazon.com/about-aws/global-infrastructure); Switzerland and the UK are not.
_EU = frozenset({"DE", "ES", "FR", "IE", "IT", "SE"})


def allowed(assessment: Assessment, region: str | None) -> list[Region]:
    """The regions to try, in the site's order. Raises CatalogError for an unknown one, PlanError when none is left.

    `region` narrows them to one, which has to be among those allowed. A site that names none is planned in its own
    country, so that the way there stays short and the data in one jurisdiction.
    """
    named = [regions.find(name) for name in assessment.constraints.regions_allowed]
    candidates = [place for place in named or _of_country(assessment.location.country) if _resident(place, assessment)]
    if region is not None:
        wanted = regions.find(region)
        if wanted not in candidates:
            raise PlanError(
                f"region {region} is not allowed: the site allows {_names(named) or 'those of its country'}"
                f"{_because(assessment)}; allowed are {_names(candidates) or 'none'}"
            )
        return [wanted]
    if not candidates:
        resident = [place for place in regions.all_regions() if _resident(place, assessment)]
        raise PlanError(
            f"no region is left: the site allows {_names(named) or 'those of its country, which has none with prices'}"
            f"{_because(assessment)}; name some in constraints.regions_allowed: {_names(resident)}"
        )
    if len({place.currency for place in candidates}) > 1:
        raise PlanError(
            f"regions_allowed names regions that bill in CNY and in USD ({_names(candidates)}); "
            "choose one with --region, or keep to one partition"
        )
    return candidates


def _of_country(country: str) -> list[Region]:
    """Regions of the country that have prices, without GovCloud, which takes an account of its own."""
    priced = {name for kind in instance_types.all_types() for name in prices.regions_with(kind.name)}
    return [
        place
        for place in regions.all_regions()
        if place.country == country and place.partition != "aws-us-gov" and place.name in priced
    ]


def _resident(place: Region, assessment: Assessment) -> bool:
    residency = assessment.constraints.residency
    if residency is None:
        return True
    countries = _EU if residency == "eu" else {residency.upper()}
    if countries.isdisjoint(region.country for region in regions.all_regions()):
        known = sorted({region.country.lower() for region in regions.all_regions()})
        raise PlanError(f"residency {residency!r}: no AWS region is there; known are eu, {', '.join(known)}")
    return place.country in countries


def _because(assessment: Assessment) -> str:
    residency = assessment.constraints.residency
    return f", residency {residency} keeps it there" if residency else ""


def _names(places: list[Region]) -> str:
    return ", ".join(place.name for place in places)
