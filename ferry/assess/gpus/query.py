"""`nvidia-smi --query-gpu=… --format=csv` and `--query-compute-apps=…`: any columns, any order, with or without units.

A capture with `-l` holds each GPU many times and may repeat its heading. Without a heading (`noheader`) only what
needs none is taken: names, UUIDs, bus addresses and driver versions say themselves what they are; percentages do not.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from ferry.artefacts import Finding
from ferry.assess.gpus.log_fields import SLOWDOWNS
from ferry.assess.gpus.reading import LARGEST_MEMORY_MIB, LARGEST_POWER_W, MEASURE, Gpu, Reading, Seen
from ferry.errors import UnreadableInput

COLUMN = re.compile(r"([a-zA-Z][a-zA-Z0-9_.]{0,80})(?: \[[^\[\]]{1,20}\])?")
COLUMNS = re.compile(
    r"(timestamp|driver_version|kmd_version|cuda_version|count|name|gpu_name|index|g?pu_?uuid|uuid|gpu_bus_id|(gpu_)?serial|"
    r"pid|process_name|used_gpu_memory|used_memory|pstate|hostname|compute_(mode|cap)|persistence_mode|gpu_recovery_action|"
    r"(ecc|memory|utilization|temperature|power|clocks?|pcie?|mig|fan|fabric|display|retired_pages|remapped_rows|vbios|gom|"
    r"clocks_(throttle|event)_reasons(_counters)?|inforom|encoder|accounting|driver_model|enforced|module|platform)[._]\w.*|"
    r"vbios_version|display_\w+|c2c\.mode|gsp\..*)"
)
ALIASES = {
    "gpu_name": "name", "gpu_uuid": "uuid", "gpu_bus_id": "pci.bus_id", "gpu_serial": "serial",
    "kmd_version": "driver_version",
}  # fmt: skip
# NVML's nvmlClocksEventReason bits (nvml.h).
REASON_BITS = {
    0x4: "sw_power_cap", 0x8: "hw_slowdown", 0x20: "sw_thermal_slowdown", 0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
}  # fmt: skip
UUID = re.compile(r"GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
BUS = re.compile(r"[0-9A-Fa-f]{8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]")
NAME = re.compile(r"(?:NVIDIA|Tesla|GeForce|Quadro|GRID|TITAN)\b.{1,80}")
LONGEST_ROW = 100_000
MOST_WITHOUT_A_MARK = 16
"""As many GPUs as a server has: rows that name none are of one GPU each up to here, whatever a capture repeats."""
DRIVER = re.compile(r"[2-9][0-9]{2}\.[0-9]{2,3}(?:\.[0-9]{2})?")
LONE_VALUE = re.compile(
    r"[0-9]+(?:\.[0-9]+)*(?: (?:MiB|MB|%|W|MHz))?|\[[\w/ ]+\]|GPU-\S+|(?:NVIDIA|Tesla|GeForce|Quadro) [\w ().-]{2,40}|"
    r"(?:En|Dis)abled|[0-9A-Fa-f]{8}:\S+"
)
"""A value of a heading with one column. In the help texts of nvidia-smi, prose stands below such a line."""
FLAGS = {
    "persistence_mode": "persistence", "display_active": "display", "mig.mode.current": "mig",
    "ecc.mode.current": "ecc",
    "remapped_rows.pending": "remap_pending", "remapped_rows.failure": "remap_failed",
    "retired_pages.pending": "retirement_pending", "reset_status.reset_required": "reset_required",
}  # fmt: skip
COUNTS = {
    "ecc.errors.uncorrected.volatile.total": "ecc_volatile", "ecc.errors.uncorrected.aggregate.total": "ecc_aggregate",
    "remapped_rows.uncorrectable": "remapped_uncorrectable",
    "retired_pages.double_bit.count": "retired_double",
}  # fmt: skip
LINKS = {
    "pcie.link.width.current": "pcie_width", "pcie.link.width.max": "pcie_width_max",
}  # fmt: skip
TEXTS = {
    "name": "name", "gpu_recovery_action": "recovery", "fabric.state": "fabric_state", "fabric.status": "fabric_status",
}  # fmt: skip


def read(lines: Sequence[str], start: int, reading: Reading) -> int:
    """Read rows below a heading; the line after the last, or `start` where none begins. Raises UnreadableInput."""
    heading = columns_of(lines[start])
    if not heading or not _begins(lines, start, heading):
        return start
    apps = "pid" in heading or "process_name" in heading
    reading.kinds["nvidia-smi --query-compute-apps" if apps else "nvidia-smi --query-gpu"] = None
    rows = 0
    at = start + 1
    for at in range(start + 1, len(lines)):
        line = lines[at].strip()
        if not line or columns_of(line) == heading:
            continue
        if len(line) > LONGEST_ROW:
            raise UnreadableInput(f"{reading.at(at + 1)}: is a line of {len(line)} characters: no row of nvidia-smi")
        row = _split(line, reading.at(at + 1))
        if len(row) != len(heading):
            if len(row) == 1 or columns_of(line) or apps:
                break
            if len(row) < len(heading) and rows and not any(rest.strip() for rest in lines[at + 1 :]):
                # `-l` was stopped, or the disk was full, in the middle of a line: the day before it counts.
                reading.damaged(line, reading.at(at + 1))
                return len(lines)
            why = "cut off?" if len(row) < len(heading) else "edited, or a comma in a name?"
            raise UnreadableInput(f"{reading.at(at + 1)}: has {len(row)} columns, the header has {len(heading)}: {why}")
        if not apps:
            _row(dict(zip(heading, row, strict=True)), rows, at, reading)
        else:
            _process(dict(zip(heading, row, strict=True)), at, reading)
        rows += 1
    else:
        at += 1
    if not apps and rows > 1 and not {"uuid", "pci.bus_id", "index"} & set(heading):
        reading.find(
            Finding(
                severity="warning",
                code="gpu-csv-names-no-gpu",
                seen=f"{rows} rows without uuid, index or pci.bus_id",
                where=reading.at(start + 1),
                means="rows of one GPU at several times look like several GPUs: their number is uncertain",
                remedy=f"measure with an identity: {MEASURE}",
            )
        )
    return at


def read_without_heading(lines: Sequence[str], start: int, reading: Reading) -> int:
    """Read rows of `noheader`: at least one value has to say itself that it is of a GPU."""
    at = start
    while at < len(lines) and 3 < len(lines[at]) < 20_000:
        where = reading.at(at + 1)
        row = [value.strip() for value in lines[at].split(",")]
        uuid = next((value for value in row if UUID.fullmatch(value)), None)
        bus = next((value for value in row if BUS.fullmatch(value)), None)
        name = next((value for value in row if NAME.fullmatch(value)), None)
        # A sentence may have commas and the maker's name between them: a value stands beside a GPU's.
        if not (uuid or bus or (name and any(LONE_VALUE.fullmatch(value) for value in row if value != name))):
            break
        gpu = reading.gpu(where, uuid=uuid, bus=bus)
        gpu.seen += 1
        reading.lines += 1
        if name:
            reading.text(gpu, "name", name, where)
        driver = next((value for value in row if DRIVER.fullmatch(value)), None)
        if driver and reading.driver is None:
            reading.driver = Seen(driver, where)
        at += 1
    if at > start:
        reading.kinds["nvidia-smi --query-gpu"] = None
        reading.find(
            Finding(
                severity="warning",
                code="gpu-csv-without-header",
                seen=f"{at - start} row{'s' if at > start + 1 else ''} without column names",
                where=reading.at(start + 1),
                means="names, UUIDs and driver were taken; no percentage and no amount of memory says what it is of",
                remedy=f"leave out noheader: {MEASURE}",
            )
        )
    return at


def columns_of(line: str) -> list[str]:
    """The columns that a heading names, without their units; empty where it is none."""
    columns: list[str] = []
    if len(line) > LONGEST_ROW:
        return columns
    for part in line.strip().removeprefix("\ufeff").split(","):
        match = COLUMN.fullmatch(part.strip().strip('"'))
        if not match:
            return []
        columns.append(ALIASES.get(match[1], match[1]))
    return columns if any(COLUMNS.fullmatch(column) for column in columns) else []


def _begins(lines: Sequence[str], start: int, heading: list[str]) -> bool:
    """Whether rows may follow: a list of column names, as `--help-query-gpu` has one, is no heading."""
    following = next((line.strip() for line in lines[start + 1 :] if line.strip()), None)
    if following is None or len(heading) > 1:
        return len(heading) > 1
    return bool(LONE_VALUE.fullmatch(following[:100]))


def _split(line: str, where: str) -> list[str]:
    try:
        return [value.strip() for value in next(csv.reader([line], skipinitialspace=True))]
    except (csv.Error, StopIteration) as error:
        raise UnreadableInput(f"{where}: is not CSV: {error}") from error


def _row(values: dict[str, str], number: int, at: int, reading: Reading) -> None:
    where = reading.at(at + 1)
    index = reading.value(values.get("index", ""), where, most=1023)
    marks = (values.get("uuid"), values.get("pci.bus_id"))
    if index is None and not any(marks):
        if "index" in values:
            return
        count = reading.value(values.get("count", ""), where, most=MOST_WITHOUT_A_MARK)
        index = number % int(count) if count else min(number, MOST_WITHOUT_A_MARK - 1)
    gpu = reading.gpu(where, index=int(index) if index is not None else None, uuid=marks[0], bus=marks[1])
    gpu.seen += 1
    reading.lines += 1
    for column, raw in values.items():
        if column in TEXTS:
            reading.text(gpu, TEXTS[column], raw, where)
        elif column in FLAGS:
            reading.flag(gpu, FLAGS[column], raw, where)
        elif column in COUNTS:
            reading.number(gpu, COUNTS[column], raw, where)
        elif column in LINKS:
            reading.number(gpu, LINKS[column], raw, where, most=64)
        elif column == "memory.total":
            reading.number(gpu, "memory_mib", raw, where, ("mib", "mb", ""), LARGEST_MEMORY_MIB)
        elif column == "power.limit" or (column == "enforced.power.limit" and "power.limit" not in values):
            reading.number(gpu, "power_limit_w", raw, where, ("w", ""), LARGEST_POWER_W)
    if (busy := reading.value(values.get("utilization.gpu", ""), where, ("%", ""), 100)) is not None:
        gpu.utilization.append(busy)
    for column in ("power.draw", "power.draw.average", "power.draw.instant"):
        power = reading.value(values.get(column, ""), where, ("w", ""), LARGEST_POWER_W)
        if power is not None:
            gpu.power_w.append(power)
            break
    if any(column.startswith("clocks_") for column in values):
        _throttling(values, gpu, reading, where)
    if reading.driver is None and "driver_version" in values:
        reading.driver = reading.version(values["driver_version"], where)
    if reading.cuda is None and "cuda_version" in values:
        reading.cuda = reading.version(values["cuda_version"], where)


def _throttling(values: dict[str, str], gpu: Gpu, reading: Reading, where: str) -> None:
    for family in ("clocks_event_reasons", "clocks_throttle_reasons"):
        for reason in SLOWDOWNS:
            if values.get(f"{family}.{reason}", "").casefold() == "active":
                gpu.throttled.setdefault(reason, where)
        mask = values.get(f"{family}.active", "")
        if re.fullmatch(r"0x[0-9A-Fa-f]{1,16}", mask):
            for bit, reason in REASON_BITS.items():
                if int(mask, 16) & bit:
                    gpu.throttled.setdefault(reason, where)
        elif mask:
            reading.value(mask, where)


def _process(values: dict[str, str], at: int, reading: Reading) -> None:
    """A process tells which GPU there is, and nothing of how busy it is."""
    if values.get("uuid") or values.get("pci.bus_id"):
        where = reading.at(at + 1)
        gpu = reading.gpu(where, uuid=values.get("uuid"), bus=values.get("pci.bus_id"))
        reading.text(gpu, "name", values.get("name", ""), where)
