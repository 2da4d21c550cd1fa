"""The stack file, edited in place: Ferry writes its own keys, and everything else stays as it is, byte for byte.

What a plan decides meets what a person wrote by these rules (`merge`):

    aws:region, ferry:environment     the plan's
    ferry:gateway, ferry:network      the person's; the plan fills in what is missing
    ferry:model_versions              the plan's versions, in the plan's order. A version that the file has under the
                                      same name keeps what the plan does not set (schedules, warm_pool, …); its
                                      `engine` is the plan's as a whole. Other versions are dropped
    any other ferry: section          key by key, in depth: the plan's where the plan says something
    every other key                   the person's
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from ruamel.yaml.error import YAMLError

from ferry.artefacts import first_problem
from ferry.errors import InvalidField, RenderError, UnreadableInput
from ferry.render.config_text import append, replace, same
from stacks.settings import Settings

GATEWAY = "ferry:gateway"
NETWORK = "ferry:network"
MODEL_VERSIONS = "ferry:model_versions"
ENCRYPTED = "[secure]"
"""Stands for an encrypted value, which cannot be read here."""


@dataclass(frozen=True)
class StackFile:
    """A stack file's text and what stands under `config`."""

    path: Path
    text: str
    config: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> StackFile:
        """Read a stack file. Raises UnreadableInput."""
        try:
            return cls.parse(path, path.read_bytes().decode("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableInput(f"{path}: cannot be read: {error}") from error

    @classmethod
    def parse(cls, path: Path, text: str) -> StackFile:
        """Take a text for the content of a stack file. Raises UnreadableInput."""
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UnreadableInput(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
        config = (document or {}).get("config") if isinstance(document or {}, dict) else document
        if not isinstance(config or {}, dict):
            raise UnreadableInput(f"{path}: expected keys and values at the top and under `config`")
        return cls(path, text, config or {})

    def settings(self) -> Settings:
        """What the program will see. Raises InvalidField with the first problem, on one line.

        ENCRYPTED stands for each encrypted value.
        """
        try:
            return Settings.from_config(_without_secrets(self.config))
        except (ValidationError, ValueError) as error:
            problem = first_problem(error) if isinstance(error, ValidationError) else str(error)
            raise InvalidField(f"{self.path}: {problem}") from error

    def with_config(self, config: Mapping[str, Any]) -> StackFile:
        """The file with other content under `config`. Raises RenderError where its layout is too unusual to edit."""
        text = self.text
        try:
            for key in config:
                if key not in self.config:
                    text = append(text, key, config[key])
                elif not same(self.config[key], config[key]):
                    text = replace(text, key, self.config[key], config[key])
        except (YAMLError, LookupError) as error:
            raise RenderError(
                f"{self.path}: its layout cannot be edited in place ({' '.join(str(error).split())}); "
                "write `config` as plain block YAML"
            ) from error
        expected = (yaml.safe_load(self.text) or {}) | {"config": dict(config)}
        if not _reads_as(text, expected):
            raise RenderError(f"{self.path}: an edit would change other keys (an alias across entries?); write it out")
        return StackFile.parse(self.path, text)


def merge(present: Mapping[str, Any], decided: Mapping[str, Any]) -> dict[str, Any]:
    """What stands under `config` after the plan's decisions, by the rules above."""
    merged = dict(present)
    for key, value in decided.items():
        if key in (GATEWAY, NETWORK):
            merged[key] = _deep(value, present.get(key) or {})
        elif key == MODEL_VERSIONS:
            merged[key] = [_version(version, present.get(key)) for version in value]
        else:
            merged[key] = _deep(present.get(key), value)
    return merged


def dropped_versions(present: Mapping[str, Any], merged: Mapping[str, Any]) -> list[str]:
    """Names of the model versions that the stack file had and the plan does not."""
    kept = {version["name"] for version in merged.get(MODEL_VERSIONS) or []}
    return [name for name in _by_name(present.get(MODEL_VERSIONS)) if name not in kept]


def _reads_as(text: str, expected: Any) -> bool:
    try:
        return same(yaml.safe_load(text), expected)
    except yaml.YAMLError:
        return False


def _deep(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: _deep(below.get(key), value) for key, value in above.items()}}


def _version(decided: Mapping[str, Any], present: Any) -> dict[str, Any]:
    merged: dict[str, Any] = _deep(_by_name(present).get(decided["name"]), decided)
    return {**merged, "engine": decided["engine"]} if "engine" in decided else merged


def _by_name(versions: Any) -> dict[str, Any]:
    found = versions if isinstance(versions, list) else []
    return {version["name"]: version for version in found if isinstance(version, dict) and "name" in version}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ENCRYPTED if set(value) == {"secure"} else {key: _without_secrets(each) for key, each in value.items()}
    return [_without_secrets(each) for each in value] if isinstance(value, list) else value
