"""`ferry gateway validate` and `status`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ferry.cli import app
from ferry.traffic.gateway import Mirror
from tests.gateways import DOMAIN, Authority, Backend, Site, free_ports


def ferry(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["gateway", *map(str, arguments)])


@pytest.fixture
def place(authority: Authority, folder: Callable[[int, int], Path]) -> Iterator[Path]:
    """A gateway's folder, with an engine at home and nobody in the cloud."""
    with Backend("local").serving() as local:
        yield folder(local.port, free_ports(1)[0])


def findings(result: Result) -> dict[str, tuple[str, str]]:
    return {each["what"]: (each["level"], each["detail"]) for each in json.loads(result.stdout)["findings"]}


def test_a_rendered_folder_is_valid_before_the_cloud_exists(place: Path) -> None:
    result = ferry("validate", place, "--json")
    assert result.exit_code == 0
    found = findings(result)
    assert {what: level for what, (level, _) in found.items()} == {
        **{"routes": "ok", "envoy": "ok", "cluster local": "ok"},
        "cluster cloud": "warning",
    }
    assert found["routes"] == ("ok", "100 local, 0 cloud, generation 0")
    assert found["envoy"] == ("ok", "takes the configuration, the routes and the filters")


def test_an_engine_that_gets_requests_has_to_be_there(place: Path) -> None:
    routes = place / "routes" / "routes.yaml"
    swapped = routes.read_text().replace("weight: 100", "weight: x").replace("weight: 0", "weight: 100")
    routes.write_text(swapped.replace("weight: x", "weight: 0"))
    result = ferry("validate", place, "--json")
    assert result.exit_code == 3
    assert findings(result)["cluster cloud"][0] == "error"


@pytest.mark.parametrize(
    ("file", "old", "new", "what", "detail"),
    [
        ("envoy.yaml", "codec_type: AUTO", "codec_type: MAGIC", "envoy", "MAGIC"),
        ("routes/routes.yaml", "cluster: local", "", "routes", "did not write"),
        ("routes/routes.yaml", "local-then-cloud", "elsewhere", "routes", "has no cluster elsewhere"),
        ("filters/revocation.yaml", "rbac.v3.RBAC", "rbac.v3.Nothing", "envoy", "Nothing"),
        ("filters/authentication.yaml", '"resources"', '"resource"', "filters", "resources"),
    ],
)
def test_what_envoy_would_refuse_is_found_before_it_is_used(
    place: Path, file: str, old: str, new: str, what: str, detail: str
) -> None:
    path = place / file
    text = path.read_text()
    path.write_text(text.replace(old, new) if old in text else text + "surprise: 1\n")
    if not new:
        path.write_text(text.replace("numerator", "").replace("timeout: 0s", "timeout: 15s"))
    result = ferry("validate", place, "--json")
    assert result.exit_code == 3
    level, said = next(
        (each["level"], each["detail"])
        for each in json.loads(result.stdout)["findings"]
        if each["what"] == what and each["level"] == "error"
    )
    assert level == "error"
    assert detail in said


def test_a_folder_that_is_no_gateway_is_an_error(tmp_path: Path) -> None:
    result = ferry("validate", tmp_path)
    assert result.exception is not None
    assert re.search(r"envoy\.yaml: cannot be read: No such file or directory; name the folder", str(result.exception))


def test_status_says_what_runs_beside_what_the_files_say(site: Site) -> None:
    routes = site.gateway.route(weights={"local": 75, "cloud": 25}, mirror=Mirror(cluster="cloud", percent=5))
    result = ferry("status", site.gateway.folder.path, "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert (said["ready"], said["envoy"], said["in_step"]) == (True, "1.40.0", True)
    assert said["applied"]["weights"] == {"local": 75, "cloud": 25} == dict(routes.weights)
    assert said["clusters"]["local"]["healthy"] == said["clusters"]["cloud"]["healthy"] == 1
    assert set(said["filters"]) == {"authentication", "revocation", "rate_limit"}
    assert all(each["loaded_at"] and each["refused"] == 0 for each in said["filters"].values())
    text = ferry("status", site.gateway.folder.path).stdout
    assert "5 % mirrored to cloud" in text
    assert re.search(r"│ cloud +│ 25 +│ 1 of 1 ", text)


def test_status_says_no_where_envoy_refused_the_file(site: Site, wait_applied: Callable[..., str]) -> None:
    wait_applied(site.gateway, weights={"local": 50, "nowhere": 50})
    result = ferry("status", site.gateway.folder.path, "--json")
    assert result.exit_code == 3
    said = json.loads(result.stdout)
    assert said["in_step"] is False
    assert said["routes_refused"] >= 1
    assert said["written"]["weights"] == {"local": 50, "nowhere": 50}


def test_status_without_an_envoy_is_an_error(place: Path) -> None:
    result = ferry("status", place)
    assert result.exception is not None
    assert "does not answer" in str(result.exception)
    assert "start it with `ferry gateway run`" in str(result.exception)


def test_the_domain_is_what_the_certificate_is_checked_for(
    authority: Authority, folder: Callable[[int, int], Path]
) -> None:
    with Backend("thief").serving(authority.server("other.example")) as thief, Backend("local").serving() as local:
        result = ferry("validate", folder(local.port, thief.port), "--json")
    level, detail = findings(result)["cluster cloud"]
    assert level == "warning"
    assert DOMAIN in detail
