"""The program as a whole: what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ferry.errors import RehearsalError

ROOT = Path(__file__).parents[2]
MAIN = (ROOT / "__main__.py").read_text(encoding="utf-8")


def config(environment: str) -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "stacks" / f"Pulumi.{environment}.yaml").read_text(encoding="utf-8"))
    loaded: dict[str, Any] = document["config"]
    return loaded


def test_an_unknown_key_is_refused_on_one_line(run_program: Callable[..., Any]) -> None:
    with pytest.raises(RehearsalError) as raised:
        run_program(MAIN, config("dev") | {"ferry:nonsense": "1"})
    assert str(raised.value).endswith("stack test is refused: nonsense: Extra inputs are not permitted")
    assert "\n" not in str(raised.value)


def test_a_wrong_value_deep_in_a_section_is_named_by_its_path(run_program: Callable[..., Any]) -> None:
    stack = config("dev")
    stack["ferry:model_versions"][0]["fleet"]["min_size"] = -1
    with pytest.raises(RehearsalError, match=r"refused: model_versions\.0\.fleet\.min_size: Input should"):
        run_program(MAIN, stack)


def test_keys_of_other_namespaces_are_left_alone(run_program: Callable[..., Any]) -> None:
    with pytest.raises(RehearsalError, match="refused: region: Field required"):
        run_program(MAIN, {key: value for key, value in config("dev").items() if key != "aws:region"} | {"x:y": "1"})
