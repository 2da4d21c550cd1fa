from __future__ import annotations

import string
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.errors import GatewayError
from ferry.traffic.gateway import Mirror, Routes, Stage

NAMES = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=8).filter(
    lambda name: not name.endswith(("-then-cloud", "-then-local"))
)
VALUES = st.text(min_size=1, max_size=12)
"""Of headers, and no YAML may take them for a number, a boolean or nothing."""
PREFIXES = st.lists(st.text(string.ascii_letters + string.digits + "._~-", min_size=1), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)


@st.composite
def shares(draw: st.DrawFn) -> dict[str, int]:
    names = draw(st.lists(NAMES | st.sampled_from(["local", "cloud"]), min_size=1, max_size=4, unique=True))
    cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=len(names) - 1, max_size=len(names) - 1)))
    return dict(zip(names, (end - start for start, end in zip([0, *cuts], [*cuts, 100], strict=True)), strict=True))


ROUTES = st.builds(
    Routes,
    weights=shares(),
    mirror=st.none() | st.builds(Mirror, cluster=NAMES, percent=st.integers(1, 100)),
    generation=st.integers(0, 2**31),
    versions=st.dictionaries(VALUES, NAMES, max_size=3),
    version_header=NAMES,
    user_header=st.none() | NAMES,
    stages=st.lists(st.builds(Stage, prefix=PREFIXES, cluster=NAMES), max_size=3).map(tuple),
    mirror_hosts=st.dictionaries(NAMES, VALUES, max_size=2),
)


@settings(max_examples=50)
@given(ROUTES)
def test_routes_survive_the_way_into_a_file_and_back(routes: Routes) -> None:
    assert Routes.parse(routes.dump()) == routes
    assert Routes.parse(routes.dump()).version == routes.version


@settings(max_examples=30)
@given(ROUTES, ROUTES)
def test_different_routes_have_different_versions(one: Routes, other: Routes) -> None:
    assert (one.version == other.version) == (one == other)


@settings(max_examples=50)
@given(st.text() | ROUTES.map(lambda routes: routes.dump()[:-1]))
def test_whatever_stands_in_the_file_it_is_routes_or_one_line_of_error(text: str) -> None:
    said = ""
    try:
        Routes.parse(text)
    except GatewayError as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("timeout: 0s", "timeout: 15s"),
        ("retry_on: connect-failure,refused-stream", "retry_on: 5xx"),
        ("- '*'", "- llm.example"),
        ("prefix: /", "prefix: /v1"),
    ],
)
def test_what_a_change_of_weights_would_lose_is_refused(old: str, new: str) -> None:
    text = Routes(weights={"local": 100, "cloud": 0}).dump()
    assert old in text
    with pytest.raises(GatewayError, match="that Ferry did not write, and would lose with the next change"):
        Routes.parse(text.replace(old, new))


def test_a_weight_that_a_person_changed_is_taken() -> None:
    text = Routes(weights={"local": 100, "cloud": 0}).dump()
    changed = text.replace("weight: 100", "weight: 60").replace("weight: 0", "weight: 40")
    assert Routes.parse(changed).weights == {"local": 60, "cloud": 40}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"local": 60, "cloud": 60}, "given: local 60, cloud 60"),
        ({"local": 110, "cloud": -10}, "given: local 110, cloud -10"),
        ({}, "given: none"),
    ],
)
def test_weights_add_up_to_a_hundred(weights: dict[str, int], said: str) -> None:
    with pytest.raises(GatewayError, match=f"from 0 to 100 and to add up to 100; {said}"):
        Routes(weights=weights)


@pytest.mark.parametrize("percent", [0, 101])
def test_a_mirror_takes_a_share(percent: int) -> None:
    with pytest.raises(GatewayError, match=f"1 to 100 percent of the requests, not {percent}"):
        Routes(weights={"local": 100}, mirror=Mirror(cluster="cloud", percent=percent))


def test_only_what_never_reached_an_engine_is_sent_again_and_then_to_the_other_side() -> None:
    routes = Routes(
        weights={"local": 100, "cloud": 0}, versions={"r2": "r2"}, stages=(Stage(prefix="/a", cluster="a"),)
    )
    stage, version, weighed = _actions(routes)
    for action in (stage, version, weighed):
        assert action["retry_policy"]["retry_on"] == "connect-failure,refused-stream"
        assert action["timeout"] == "0s"
    assert weighed["retry_policy"]["retry_priority"]["name"] == "envoy.retry_priorities.previous_priorities"
    names = [each["name"] for each in weighed["weighted_clusters"]["clusters"]]
    assert names == ["local-then-cloud", "cloud-then-local"]
    assert (stage["cluster"], version["cluster"]) == ("a", "r2")
    assert "retry_priority" not in stage["retry_policy"] | version["retry_policy"]


def test_a_file_says_its_generation_to_whoever_reads_it() -> None:
    routes = replace(Routes(weights={"local": 100}), generation=7)
    document = yaml.safe_load(routes.dump())
    assert document["resources"][0]["metadata"]["filter_metadata"]["ferry"]["generation"] == 7
    assert document["version_info"] == routes.version
    assert routes.version.startswith("7-")


def _actions(routes: Routes) -> list[dict[str, Any]]:
    (host,) = yaml.safe_load(routes.dump())["resources"][0]["virtual_hosts"]
    return [route["route"] for route in host["routes"]]
