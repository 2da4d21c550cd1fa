"""The folder of the gateway in the cloud: the configuration of home, seen from there."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ferry.errors import GatewayError
from ferry.render import hybrid
from ferry.traffic.gateway.command import ARGUMENTS, find_envoy
from ferry.traffic.gateway.routes import Routes
from stacks.settings import Settings

STACK = Path(__file__).parents[3] / "stacks" / "Pulumi.prod.yaml"


def rendered(present: dict[str, str] | None = None, **tier: Any) -> dict[str, str]:
    config = yaml.safe_load(STACK.read_text(encoding="utf-8"))["config"]
    config["ferry:gateway"] |= {
        "home_versions": [{"name": "next", "address": "10.0.0.2:8000"}],
        "stages": [{"name": "images", "prefix": "/v1/images", "address": "10.0.0.3:9000"}],
    }
    settings = Settings.from_config(config | {"ferry:gateway_tier": {"image": "envoy:v1.40.0"} | tier})
    assert settings.gateway_tier is not None
    return hybrid.tier_files(settings, settings.gateway_tier, present or {}, site="room", engine="vllm")


def clusters(files: dict[str, str]) -> dict[str, Any]:
    found = yaml.safe_load(files["envoy.yaml"])["static_resources"]["clusters"]
    return {one["name"]: one for one in found}


def test_everything_goes_to_the_load_balancer_and_nothing_of_the_room_is_named() -> None:
    files = rendered()
    found = clusters(files)
    assert set(found) == {"cloud", "cloud-then-local"}
    endpoint = found["cloud"]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    assert endpoint["address"]["socket_address"] == {"address": "llm.example.com", "port_value": 443}
    assert found["cloud-then-local"]["cluster_type"]["typed_config"]["clusters"] == ["cloud"]
    routes = Routes.parse(files["routes/routes.yaml"])
    assert (routes.weights, routes.versions, routes.stages) == ({"cloud": 100}, {}, ())


def test_home_is_the_fallback_where_an_address_for_it_is_given() -> None:
    files = rendered(home_engine="10.1.2.3:8000")
    found = clusters(files)
    assert found["cloud-then-local"]["cluster_type"]["typed_config"]["clusters"] == ["cloud", "local"]
    endpoint = found["local"]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    assert endpoint["address"]["socket_address"] == {"address": "10.1.2.3", "port_value": 8000}
    assert Routes.parse(files["routes/routes.yaml"]).weights == {"local": 0, "cloud": 100}


def test_who_may_come_in_is_what_home_says_now() -> None:
    name = "filters/authentication.yaml"
    assert rendered({f"gateway/{name}": "of home"})[name] == "of home"
    assert rendered()[name] == hybrid.everybody()["authentication"]


def test_the_listener_keeps_silent_connections_alive() -> None:
    listener = yaml.safe_load(rendered()["envoy.yaml"])["static_resources"]["listeners"][0]
    assert listener["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 8080}
    assert [(one["level"], one["name"], one["int_value"]) for one in listener["socket_options"]] == [
        (1, 9, 1),
        (6, 4, 60),
        (6, 5, 60),
    ]


def test_envoy_is_started_with_the_arguments_of_home() -> None:
    assert rendered()["envoy.env"] == f"ENVOY_ARGUMENTS={' '.join(ARGUMENTS)}\n"


@pytest.mark.parametrize("tier", [{}, {"home_engine": "10.1.2.3:8000"}], ids=["alone", "with home"])
def test_envoy_accepts_it(tmp_path: Path, tier: dict[str, Any]) -> None:
    try:
        envoy = find_envoy()
    except GatewayError as error:
        pytest.skip(str(error))
    for name, text in rendered(**tier).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    ran = subprocess.run(
        [envoy, "--mode", "validate", "-c", "envoy.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
