"""How long a new instance needs until it serves: start, engine image, model, engine.

AWS measured 525 s for Qwen3-8B (16.4 GB) on a new g6.2xlarge; this gives 470 s.
"""

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


def seconds(
    weight_bytes: float, instance: InstanceType, *, image_is_local: bool = False, model_is_local: bool = False
) -> float:
    """Time to serve. What is not local is written to the root volume, at the slower of network and volume; then the
    model is read from it.

    The image is local where the machine image has it.
    """
    incoming = min(instance.network_mbps * 1e6 / 8 * NETWORK_SHARE, VOLUME_BYTES_PER_S)
    fetched = (0.0 if image_is_local else IMAGE_BYTES) + (0.0 if model_is_local else weight_bytes)
    return START_SECONDS + fetched / incoming + weight_bytes / VOLUME_BYTES_PER_S + ENGINE_SECONDS


def warm_seconds(weight_bytes: float, instance: InstanceType) -> float:
    """Time to serve from a warm pool whose instances are `Stopped`, as Ferry's stacks have them.

    The volume is kept, with image and model; the system starts anew, and the engine loads the model again ("you pay
    only for the volumes", Amazon EC2 Auto Scaling User Guide, "Warm pools"). AWS has no Spot Instances in a warm pool,
    and no instance with an accelerator can hibernate. A pool that is empty means a cold start: `seconds`.
    """
    return seconds(weight_bytes, instance, image_is_local=True, model_is_local=True)


def timeout_seconds(expected: float) -> int:
    """Half as long again, in whole minutes, within what a stack takes."""
    minutes = -(-expected * 1.5 // 60)
    return int(min(max(minutes * 60, 600), LONGEST_SECONDS))
