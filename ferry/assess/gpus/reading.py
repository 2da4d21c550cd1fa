"""What a file says of GPUs, as its readers collect it: one `Reading` a file, one `Gpu` a device.

A value that is blank (`[N/A]`, `[Not Supported]`, …) is absent. One that is neither blank nor of its kind is kept as
unreadable, and never becomes a number; one that says that the GPU is ill is kept as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ferry.artefacts import Finding
from ferry.errors import UnreadableInput

T = TypeVar("T")

MEASURE = (
    "nvidia-smi --query-gpu=timestamp,index,uuid,name,driver_version,utilization.gpu,memory.used,memory.total "
    "--format=csv -l 60"
)

BLANK = frozenset({
    "", "-", "--", "n/a", "na", "none", "not supported", "not available", "unavailable", "insufficient permissions",
    "requested functionality has been deprecated", "not active", "not applicable", "null", "not found",
    "invalid argument", "no permission", "n/a (secondary die)",
})  # fmt: skip
ILL = ("err!", "unknown error", "gpu requires reset", "gpu is lost", "gpu access blocked by the operating system")
FLAGS = {
    "enabled": True, "on": True, "yes": True, "active": True, "true": True,
    "disabled": False, "off": False, "no": False, "not active": False, "false": False,
}  # fmt: skip
NUMBER = re.compile(r"([+-]?[0-9]{1,19}(?:\.[0-9]{1,9})?)\s*([A-Za-z%/]*)")
# NVML hands out all bits set for a counter that it does not have.
ABSENT_COUNTS = frozenset({2**32 - 1, 2**64 - 1})
VERSION = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,5}){1,3}")
# Memory in MiB whatever the unit: nvidia-smi's old `MB` and amd-smi's `MB` both count 2^20 bytes.
SCALE = {"gib": 1024.0, "gb": 1024.0, "b": 2.0**-20}
Units = tuple[str, ...]
NO_UNIT: Units = ("",)
PERCENT: Units = ("%",)
WATTS: Units = ("w",)
MEMORY: Units = ("mib", "mb", "gib", "gb")
MOST_GPUS = 1024
MOST_FINDINGS = 50
LARGEST_MEMORY_MIB = 4 * 2**20
LARGEST_POWER_W = 20_000.0
NO_UUID = re.compile(r"[^-]*-[0-]*")


@dataclass(frozen=True)
class Seen(Generic[T]):
    """A value and where it stands: file:line."""

    value: T
    where: str


@dataclass
class MigInstance:
    """A part of a GPU in MIG mode. `profile` is `3g.40gb`, where the output names it."""

    profile: str | None = None
    memory_mib: float | None = None


@dataclass
class Gpu:
    """One device. Samples are lists: a file may hold the same GPU many times."""

    where: str
    index: int | None = None
    uuid: str | None = None
    bus: str | None = None
    texts: dict[str, Seen[str]] = field(default_factory=dict)
    numbers: dict[str, Seen[float]] = field(default_factory=dict)
    flags: dict[str, Seen[bool]] = field(default_factory=dict)
    utilization: list[float] = field(default_factory=list)
    power_w: list[float] = field(default_factory=list)
    throttled: dict[str, str] = field(default_factory=dict)
    """Reasons that were active, and where first."""
    mig: dict[int, MigInstance] = field(default_factory=dict)
    links: dict[int, float] = field(default_factory=dict)
    """NVLinks in GB/s, 0 where a link is down."""
    link_errors: dict[str, int] = field(default_factory=dict)
    links_elided: bool = False
    seen: int = 0
    """How many times the device was sampled."""

    @property
    def label(self) -> str:
        """What a person calls it: its index, else its place on the bus."""
        return str(self.index) if self.index is not None else (self.bus or self.uuid or self.where)


@dataclass(frozen=True)
class Matrix:
    """`topo -m` or what amounts to it: the kind of link between each pair of GPUs, and the network cards seen."""

    gpus: int
    links: dict[tuple[int, int], str]
    nics: int
    where: str


@dataclass
class Reading:
    """Everything that one file says."""

    file: str
    kinds: dict[str, None] = field(default_factory=dict)
    driver: Seen[str] | None = None
    cuda: Seen[str] | None = None
    hostname: str | None = None
    gpus: list[Gpu] = field(default_factory=list)
    attached: Seen[int] | None = None
    matrices: list[Matrix] = field(default_factory=list)
    lines: int = 0
    """Samples: one GPU at one time, whether or not it has a utilisation."""
    unreadable: Seen[str] | None = None
    unreadable_count: int = 0
    ill: Seen[str] | None = None
    twice: Seen[str] | None = None
    """An index that two GPUs have."""
    other_text: Seen[str] | None = None
    other_text_count: int = 0
    findings: list[Finding] = field(default_factory=list)
    _known: dict[tuple[str, str], Gpu] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of its GPUs, each once."""
        return list(dict.fromkeys(gpu.texts["name"].value for gpu in self.gpus if "name" in gpu.texts))

    @property
    def utilization(self) -> list[float]:
        """Percent, every sample of every GPU that has one."""
        return [value for gpu in self.gpus for value in gpu.utilization]

    def at(self, line: int) -> str:
        """file:line."""
        return f"{self.file}:{line}"

    def gpu(self, where: str, *, index: int | None = None, uuid: str | None = None, bus: str | None = None) -> Gpu:
        """The device with one of these marks, or a new one. One that differs in a mark is another."""
        uuid = uuid if uuid and not NO_UUID.fullmatch(uuid) else None
        bus = short_bus(bus) if bus else None
        named = (("uuid", uuid), ("bus", bus), ("index", index))
        marks = [(kind, str(mark)) for kind, mark in named if mark is not None]
        found = next(
            (
                known
                for mark in marks
                if (known := self._known.get(mark))
                and (uuid is None or known.uuid in (None, uuid))
                and (bus is None or known.bus in (None, bus))
            ),
            None,
        )
        if found is None:
            if len(self.gpus) >= MOST_GPUS:
                raise UnreadableInput(f"{where}: is one GPU more than {MOST_GPUS}; give one file a server")
            other = self._known.get(("index", str(index)))
            if other and self.twice is None:
                self.twice = Seen(f"GPU {index} is {other.uuid or other.bus} and {uuid or bus}", where)
            found = Gpu(where)
            self.gpus.append(found)
        found.uuid, found.bus = found.uuid or uuid, found.bus or bus
        found.index = index if found.index is None else found.index
        self._known.update(dict.fromkeys(marks, found))
        return found

    def text(self, gpu: Gpu, key: str, raw: str, where: str) -> None:
        """Keep a text that is not blank."""
        if (value := self._present(raw, where)) is not None:
            gpu.texts[key] = Seen(" ".join(value.split())[:120], where)

    def number(self, gpu: Gpu, key: str, raw: str, where: str, units: Units = NO_UNIT, most: float = 1e15) -> None:
        """Keep a number that is one."""
        if (value := self.value(raw, where, units, most)) is not None:
            gpu.numbers[key] = Seen(value, where)

    def flag(self, gpu: Gpu, key: str, raw: str, where: str) -> None:
        """Keep a yes or no. `Enabled*` is enabled with a change pending."""
        value = raw.strip().strip("[]").rstrip("*").casefold()
        if value in FLAGS:
            gpu.flags[key] = Seen(FLAGS[value], where)
        elif self._present(raw, where) is not None:
            self.damaged(raw, where)

    def value(self, raw: str, where: str, units: Units = NO_UNIT, most: float = 1e15) -> float | None:
        """A number from 0 to `most` in one of the units, "" for none; None when absent or unreadable."""
        value = self._present(raw, where)
        if value is None:
            return None
        match = NUMBER.fullmatch(value)
        if match and match[2].casefold() in units:
            number = float(match[1]) * SCALE.get(match[2].casefold(), 1.0)
            if number in ABSENT_COUNTS:
                return None
            if 0 <= number <= most:
                return number
        self.damaged(value, where)
        return None

    def version(self, raw: str, where: str) -> Seen[str] | None:
        """A version that a text begins with; new drivers add `[Deprecated; …]` behind it."""
        match = VERSION.match(raw.strip())
        return Seen(match[0], where) if match else None

    def damaged(self, text: str, where: str) -> None:
        """Remember a value that is none; the first of them stands for all."""
        self.unreadable = self.unreadable or Seen(" ".join(text[:300].split())[:60], where)
        self.unreadable_count += 1

    def ignored(self, line: int, text: str) -> None:
        """Remember text that no reader knows; the first of it stands for all."""
        self.other_text = self.other_text or Seen(" ".join(text[:300].split())[:60], self.at(line))
        self.other_text_count += 1

    def find(self, finding: Finding) -> None:
        """Keep a finding, and not every repetition of it in a long file."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)

    def _present(self, raw: str, where: str) -> str | None:
        value = raw.strip()
        plain = value.strip("[]").strip().casefold()
        if plain in BLANK:
            return None
        if plain.startswith(ILL):
            self.ill = self.ill or Seen(value[:60], where)
            return None
        return value


def is_whole(text: str) -> bool:
    """Whether a text is a short whole number in plain digits."""
    return text.isascii() and text.isdigit() and len(text) <= 6


def short_bus(bus: str) -> str:
    """A PCI address without the zeros that tools pad its domain with: `0:63:00.0`."""
    domain, _, rest = bus.strip().casefold().partition(":")
    return f"{domain.lstrip('0') or '0'}:{rest}" if rest.count(":") else f"0:{bus.strip().casefold()}"


def logical_lines(text: str) -> Iterator[str]:
    """Lines by their line feeds alone, so that their numbers are those of an editor."""
    return (line.rstrip("\r") for line in text.split("\n"))
