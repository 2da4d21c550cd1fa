"""From the launch of a node to its first answer, part by part, and what would make it shorter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ferry.catalog import instance_types
from ferry.drills.provisioned import Fleet
from ferry.drills.scene import Scene
from ferry.drills.timings import BOOT, Duration, Timings
from ferry.simulation import boot

ABANDON_MARGIN_S = 120
"""How long before the hook's timeout a node gives up by itself (templates/node.py)."""
SMALL_IMAGE_SHARE = 0.4
"""What is left of an engine's image without compilers, CUDA's development files and other engines: assumed."""

_BYTES_PER_PARAMETER = (("awq", 0.55), ("gptq", 0.55), ("int4", 0.55), ("fp8", 1.0), ("int8", 1.0))
_BILLIONS = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?![a-z0-9])")


@dataclass(frozen=True)
class Weights:
    """Bytes of a model's weights, and what they rest on."""

    bytes: float
    source: str


@dataclass(frozen=True)
class Boot:
    """The parts of one boot, in their order."""

    parts: tuple[tuple[str, Duration], ...]

    @property
    def seconds(self) -> float:
        """All of them, one after the other."""
        return sum(duration.seconds for _, duration in self.parts)


@dataclass(frozen=True)
class Supply:
    """Where a fleet's new nodes come from: first out of the warm pool, then from nothing."""

    cold: Boot
    warm: Boot
    pool: int

    def boots(self, count: int) -> list[Boot]:
        """Of as many launches at once."""
        warm = min(count, self.pool)
        return [self.warm] * warm + [self.cold] * (count - warm)


@dataclass(frozen=True)
class Choice:
    """Something else that could be provisioned: what, the setting that says so, and the nodes that it gives."""

    what: str
    remedy: str
    supply: Supply


def weights_of(scene: Scene, fleet: Fleet) -> Weights:
    """The size that the plan says; else what the model's name says; else as much as the node's accelerators hold."""
    if fleet.version in scene.weights:
        return Weights(scene.weights[fleet.version], "the plan's model")
    version = next(one for one in scene.settings.model_versions if one.name == fleet.version)
    if named := _BILLIONS.search(version.model):
        kind = f"{version.model} {version.engine.quantization or ''}"
        each = next((size for name, size in _BYTES_PER_PARAMETER if name in kind), 2.0)
        return Weights(float(named[1]) * 1e9 * each, f"{named[0]} in the model's name, {each:g} bytes a parameter")
    instance = instance_types.find(fleet.instance_types[0])
    held = instance.total_accelerator_memory_gib * 2**30
    return Weights(held, f"size unknown: all the memory of {instance.name}'s accelerators")


def supply(fleet: Fleet, weights: Weights, timings: Timings) -> Supply:
    """As the fleet is provisioned."""
    return Supply(_cold(fleet, weights, timings), _warm(fleet, weights, timings), fleet.warm_pool or 0)


def choices(fleet: Fleet, weights: Weights, timings: Timings, pool: int) -> Iterator[Choice]:
    """Other ways to have new nodes: a warm pool of so many, or none, a local NVMe cache, a smaller image."""
    now = supply(fleet, weights, timings)
    if now.pool:
        yield Choice("no warm pool", f"{fleet.setting}.fleet.warm_pool: none", replace(now, pool=0))
    if now.pool < pool and not fleet.spot_percent:
        yield Choice(
            f"a warm pool of {pool} stopped node{'s' if pool > 1 else ''}",
            f"{fleet.setting}.fleet.warm_pool: {{min_size: {pool}, state: Stopped}}",
            replace(now, pool=pool),
        )
    instance = instance_types.find(fleet.instance_types[0])
    if instance.local_nvme_gb * 1e9 >= weights.bytes:
        unmeasured = replace(timings, model=None, load=None)
        yield Choice(
            f"the model on {instance.name}'s own NVMe ({instance.local_nvme_gb} GB)",
            f"{fleet.setting}.fleet.ami_parameter: an image that mounts the instance store at /opt/dlami/nvme",
            replace(now, cold=_cold(fleet, weights, unmeasured, store_bytes_per_s=boot.INSTANCE_STORE_BYTES_PER_S)),
        )
    small = SMALL_IMAGE_SHARE * boot.IMAGE_BYTES
    yield Choice(
        f"an engine image of {small / 1e9:g} GB instead of {boot.IMAGE_BYTES / 1e9:g}",
        f"{fleet.setting}.engine.image: an image without what only building needs",
        replace(now, cold=_cold(fleet, weights, replace(timings, image=None), image_bytes=small)),
    )


def problem(fleet: Fleet, cold: Boot) -> str | None:
    """Why a node of this fleet never serves; None where it does."""
    if fleet.target is None:
        return f"{fleet.setting}.fleet: {fleet.group} registers its nodes with no target group; `pulumi up` does"
    if fleet.boot_timeout_s is None:
        if fleet.is_replaced_by_verdict and fleet.grace_s < cold.seconds:
            return (
                f"{fleet.setting}.fleet: the group has no launching hook, so a node counts as soon as it runs, and is "
                f"replaced {fleet.grace_s} s later, before its {cold.seconds:.0f} s of boot are over; `pulumi up` puts "
                "the hook back"
            )
        return None
    patience = fleet.boot_timeout_s - ABANDON_MARGIN_S
    if cold.seconds > patience:
        return (
            f"{fleet.setting}.fleet.boot_timeout_seconds: {fleet.boot_timeout_s}; a node needs {cold.seconds:.0f} s "
            f"and gives up after {patience} s: set it to {boot.timeout_seconds(cold.seconds)}"
        )
    return None


def _cold(
    fleet: Fleet,
    weights: Weights,
    timings: Timings,
    *,
    image_bytes: float = boot.IMAGE_BYTES,
    store_bytes_per_s: float | None = None,
) -> Boot:
    """`store_bytes_per_s`: of the instance store, where the model lies there."""
    instance = instance_types.find(fleet.instance_types[0])
    parts = boot.parts(
        weights.bytes,
        instance,
        image_bytes=image_bytes,
        volume_bytes_per_s=fleet.volume_bytes_per_s,
        model_bytes_per_s=store_bytes_per_s,
    )
    disk = "the instance store" if store_bytes_per_s else fleet.volume
    image = f"{image_bytes / 1e9:g} GB over {instance.name}'s network to {fleet.volume}, {BOOT}"
    model = f"{_size(weights)} over {instance.name}'s network to {disk}, {BOOT}"
    return Boot(
        (
            (f"{instance.name} runs", timings.start),
            ("it has the engine's image", timings.image or _worked_out(parts.image_s, image)),
            ("it has the model", timings.model or _worked_out(parts.model_s, model)),
            *_served(timings, parts.load_s, f"{_size(weights)} from {disk}, {BOOT}"),
        )
    )


def _warm(fleet: Fleet, weights: Weights, timings: Timings) -> Boot:
    """A stopped node keeps its volume, with image and model."""
    instance = instance_types.find(fleet.instance_types[0])
    parts = boot.parts(weights.bytes, instance, model_is_local=True, volume_bytes_per_s=fleet.volume_bytes_per_s)
    read = _served(timings, parts.load_s, f"{_size(weights)} from {fleet.volume}, {BOOT}")
    return Boot(((f"the warm pool's {instance.name} runs", timings.start), *read))


def _served(timings: Timings, load_s: float, source: str) -> tuple[tuple[str, Duration], ...]:
    return (
        ("the engine has read the model", timings.load or _worked_out(load_s, source)),
        ("the engine answers /health", timings.engine),
    )


def _size(weights: Weights) -> str:
    return f"{weights.bytes / 1e9:.1f} GB ({weights.source})"


def _worked_out(seconds: float, source: str) -> Duration:
    return Duration(seconds, "assumed", source)
