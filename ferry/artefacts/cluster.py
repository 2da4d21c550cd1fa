"""The servers of a site: GPUs, how they are joined, how busy they are, and how fast they synchronise."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
)

from ferry.artefacts.figures import Figure, Frozen


class Hourly(Frozen):
    """A figure by the hour of the day: 24 values from midnight on, None where nothing was measured in that hour."""

    unit: str
    time_zone: str
    source: str
    values: list[float | None] = Field(min_length=24, max_length=24)


class GpuUse(Frozen):
    """One GPU, or one MIG instance of it, as an exporter saw it. `gpu` is its UUID, or host and index."""

    gpu: str
    host: str | None
    model: str | None
    driver: str | None
    utilization: Figure = Field(description="percent")
    power: Figure = Field(description="W")
    memory_used: Figure = Field(description="bytes")


class MachineUse(Frozen):
    """One server, as node_exporter saw it."""

    host: str
    cpus: int | None
    memory: Figure = Field(description="bytes")
    memory_available: Figure = Field(description="bytes")
    load: Figure = Field(description="runnable processes, mean over a minute")


class ClusterMetrics(Frozen):
    """What the exporters say of the servers and their GPUs, each GPU once."""

    source: str
    window: str = Field(description="the time that it covers")
    gpus: list[GpuUse] = []
    machines: list[MachineUse] = []
    utilization: Figure = Field(description="percent, mean over the GPUs")
    power: Figure = Field(description="W, of all GPUs together")
    by_hour: dict[str, Hourly] = {}


class Topology(Frozen):
    """How the GPUs of a server are linked. `-partial`: some pairs have the fast link, the others go over PCIe."""

    kind: Literal["single", "nvlink", "nvlink-partial", "xgmi", "xgmi-partial", "pcie"]
    gpus: int
    nvlinks: int | None = Field(default=None, description="links of a pair, the fewest of any pair that has some")
    slowest_path: str | None = Field(default=None, description="PIX, PXB, PHB, NODE or SYS; PCIE for AMD")
    network_cards: int = 0
    source: str


class GpuGroup(Frozen):
    """The GPUs of one server that are alike, as its tools say. Figures are of each GPU where nothing else is said."""

    name: str | None
    count: int
    memory_mib: Figure
    utilization: Figure = Field(description="percent, mean over its samples")
    power_w: Figure = Field(description="W, mean over its samples")
    power_limit_w: Figure
    ecc: Literal["on", "off", "unknown"] = "unknown"
    ecc_uncorrected: Figure = Field(description="errors since the driver was loaded, all GPUs together")
    ecc_uncorrected_ever: Figure = Field(description="errors in their lives, all GPUs together")
    mig: Literal["on", "off", "unknown"] = "unknown"
    mig_instances: list[str] = []
    nvlink_gb_s: Figure = Field(description="GB/s in one direction, all links that are up")


class Machine(Frozen):
    """One server, as the files say that belong to it."""

    files: list[str]
    gpus: list[GpuGroup] = []
    driver: str | None = None
    cuda: str | None = Field(default=None, description="the newest that the driver runs, not what is installed")
    topologies: list[Topology] = []


class Cluster(Frozen):
    """The servers of the site. `accelerator` is what site.yaml says, `accelerator_seen` what the machines say."""

    nodes: int
    gpus_per_node: int
    accelerator: str
    accelerator_seen: str | None = None
    purchased: str | None = None
    gpu_utilization: Figure = Field(description="percent, mean over what was sampled")
    machines: list[Machine] = []
    metrics: ClusterMetrics | None = None


class CollectiveSize(Frozen):
    """One message size, as it was printed: µs and GB/s (1e9 bytes). `wrong` is None where nobody compared."""

    where: str = Field(description="file:line")
    bytes: int
    time_us: float | None
    algbw: float | None
    busbw: float | None
    in_place_time_us: float | None = None
    in_place_algbw: float | None = None
    in_place_busbw: float | None = None
    wrong: int | None = None


class Collective(Frozen):
    """One run of nccl-tests or of its kin. Bandwidths in GB/s as nccl-tests defines them (1e9 bytes)."""

    file: str
    tool: Literal["nccl-tests", "rccl-tests", "nccom-test"] = "nccl-tests"
    operation: str | None
    ranks: int | None
    nodes: int | None
    sizes: int = Field(description="rows read")
    average_busbw: Figure = Field(description="GB/s, over all sizes, as the log reports it")
    largest_message_bytes: int
    largest_message_busbw: Figure = Field(description="GB/s, at the largest size: what a gradient synchronisation sees")
    wrong: int | None
    by_size: list[CollectiveSize] = []


class Fabric(Frozen):
    """A gradient synchronisation on a cloud's instances: at best, at the line rate of their network."""

    instance_types: list[str]
    gbit_per_s: float = Field(description="of one instance")
    ms: Figure
    times_as_long: float | None = Field(default=None, description="over the time at home")


class Synchronisation(Frozen):
    """One all-reduce of a model's gradients, once an iteration, nothing of it overlapped. Times in ms."""

    name: str = Field(description="the training job, or the cluster as a whole")
    nodes: int
    ranks: int = Field(description="the data-parallel degree")
    gradient_bytes: Figure
    log: str = Field(description="the measurement that it follows from")
    largest_message_bytes: int
    latency_us: Figure = Field(description="of the smallest messages")
    busbw: Figure = Field(description="GB/s, fitted to the largest messages")
    ring_ms: Figure
    tree_ms: Figure
    bound: Literal["exactly", "at least", "at most", "about"] = Field(
        description="at least: no log spans nodes, or it has no latency; at most: it spans more than the job, or has "
        "short messages only; about: both"
    )
    iteration_ms: Figure
    share_of_iteration: Figure = Field(description="0 to 1")
    parameters_in_12_ms: Figure = Field(description="how large a bfloat16 model may be that synchronises in 12 ms")
    parameters_in_18_ms: Figure
    fabrics: list[Fabric] = []

    @property
    def ms(self) -> float | None:
        """The faster of the two: NCCL chooses it."""
        times = [figure.value for figure in (self.ring_ms, self.tree_ms) if figure.value is not None]
        return min(times) if times else None
