"""How long a new instance needs until it serves: start, engine image, model, engine.

AWS measured 525 s for Qwen3-8B (16.4 GB) on a new g6.2xlarge; this gives 470 s.
"""

from __future__ import annotations

from dataclasses import dataclass

from ferry.catalog.instance_types import InstanceType

START_SECONDS = 180
"""From launch to a running system with drivers: assumed."""
ENGINE_SECONDS = 180
"""Graph capture and warm-up of the engine after the weights are loaded: assumed."""
IMAGE_BYTES = 25e9
"""The engine's image, unpacked: assumed."""
VOLUME_BYTES_PER_S = 500 * 1024 * 1024
"""Throughput of the root volume as the fleet sets it."""
GP3_MIBPS = 125
"""Of a gp3 volume that asks for no more (EBS User Guide, General Purpose SSD volumes)."""
INSTANCE_STORE_BYTES_PER_S = 2e9
"""Of an instance's own NVMe disks: assumed. AWS gives operations a second, not bytes."""
NETWORK_SHARE = 0.8
LONGEST_SECONDS = 7200
"""Longest boot time-out that a stack takes (a lifecycle hook's heartbeat is at most 7,200 s)."""


@dataclass(frozen=True)
class Parts:
    """A boot in the order of its parts, in seconds: system, engine image, fetching the model, reading it, engine."""

    start_s: float
    image_s: float
    model_s: float
    load_s: float
    engine_s: float

    @property
    def seconds(self) -> float:
        """All of them, one after the other."""
        return self.start_s + self.image_s + self.model_s + self.load_s + self.engine_s


def parts(
    weight_bytes: float,
    instance: InstanceType,
    *,
    image_bytes: float = IMAGE_BYTES,
    model_is_local: bool = False,
    volume_bytes_per_s: float = VOLUME_BYTES_PER_S,
    model_bytes_per_s: float | None = None,
) -> Parts:
    """What is not local is written to a disk, at the slower of network and disk; then the model is read from it.

    An image of 0 bytes is one that the machine image has. The model lies on the root volume, unless `model_bytes_per_s`
    says that it lies on another disk.
    """
    network = instance.network_mbps * 1e6 / 8 * NETWORK_SHARE
    disk = model_bytes_per_s or volume_bytes_per_s
    return Parts(
        START_SECONDS,
        image_bytes / min(network, volume_bytes_per_s),
        0.0 if model_is_local else weight_bytes / min(network, disk),
        weight_bytes / disk,
        ENGINE_SECONDS,
    )


def seconds(
    weight_bytes: float, instance: InstanceType, *, image_is_local: bool = False, model_is_local: bool = False
) -> float:
    """Time to serve, from the root volume. The image is local where the machine image has it."""
    return parts(
        weight_bytes, instance, image_bytes=0.0 if image_is_local else IMAGE_BYTES, model_is_local=model_is_local
    ).seconds


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
