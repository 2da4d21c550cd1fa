"""How long a new instance needs until it serves: start, engine image, model, engine."""

from __future__ import annotations

from ferry.catalog.instance_types import InstanceType

START_SECONDS = 180
"""From launch to a running system with drivers: assumed."""
ENGINE_SECONDS = 180
"""Graph capture and warm-up of the engine after the weights are loaded: assumed."""
IMAGE_BYTES = 25e9
"""The engine's image, unpacked: assumed."""
VOLUME_BYTES_PER_S = 500 * 1024 * 1024
"""Throughput of the root volume as the fleet sets it."""
NETWORK_SHARE = 0.8
LONGEST_SECONDS = 7200
"""Longest boot time-out that a stack takes (a lifecycle hook's heartbeat is at most 7,200 s)."""


def seconds(weight_bytes: float, instance: InstanceType) -> float:
    """Time to serve. Image and model are written to the root volume at the slower of network and volume, then read."""
    incoming = min(instance.network_mbps * 1e6 / 8 * NETWORK_SHARE, VOLUME_BYTES_PER_S)
    return START_SECONDS + (IMAGE_BYTES + weight_bytes) / incoming + weight_bytes / VOLUME_BYTES_PER_S + ENGINE_SECONDS


def timeout_seconds(expected: float) -> int:
    """Half as long again, in whole minutes, within what a stack takes."""
    minutes = -(-expected * 1.5 // 60)
    return int(min(max(minutes * 60, 600), LONGEST_SECONDS))
