"""Values of the engine's protocol: structs with marked assets, secrets and unknowns.

The markers are those of `sdk/go/common/resource/plugin/rpc.go` and `sdk/python/lib/pulumi/runtime/rpc.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime import rpc

DEFAULTS = "__defaults"
"""A list beside the inputs of which of them a provider filled in: the SDKs' business."""

UNKNOWN = rpc.UNKNOWN
"""Stands for a value that a preview cannot know."""


def of_struct(struct: Struct) -> dict[str, Any]:
    """As it travels, with whole numbers as int: everything in a struct is a double."""
    value: dict[str, Any] = _whole(json_format.MessageToDict(struct))
    value.pop(DEFAULTS, None)
    return value


def to_struct(values: Mapping[str, Any]) -> Struct:
    """Back again. What is None is left out."""
    struct = Struct()
    struct.update({key: value for key, value in values.items() if value is not None})
    return struct


def plain(value: Any) -> Any:
    """As a handler wants it: secrets opened, assets of Pulumi's own class, no nulls."""
    if isinstance(value, Mapping):
        signature = value.get(rpc._special_sig_key)
        if signature == rpc._special_secret_sig:
            return plain(value["value"])
        if signature == rpc._special_asset_sig:
            return pulumi.FileAsset(value["path"]) if "path" in value else pulumi.StringAsset(value.get("text", ""))
        return {key: plain(item) for key, item in value.items() if item is not None and key != DEFAULTS}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value
