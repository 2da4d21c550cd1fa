"""The outputs that are lists below `GPU 0: NAME (UUID: …)`: `-L` and `nvlink -s`, `-e` and `-c`; and `--version`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ferry.artefacts import Finding
from ferry.assess.gpus.reading import Gpu, MigInstance, Reading, Seen

GPU = re.compile(r"GPU ([0-9]{1,4}): (.{1,100}?) \(UUID: (?:(GPU-[0-9A-Fa-f-]{1,60})|GPU-[0-9A-Fa-fXx*-]{1,60})\)")
"""With a UUID that is masked, too, which then tells no GPU from another."""
MIG = re.compile(r"MIG (\S{1,30}) +Device +([0-9]{1,2}): \(UUID: MIG-[^)]{1,80}\)")
SPEED = re.compile(r"Link ([0-9]{1,3}): (?:([0-9]{1,4}(?:\.[0-9]{1,6})?) GB/s|<?inactive>?)", re.IGNORECASE)
LINK = re.compile(r"Link ([0-9]{1,3})[:,] ?(.{0,120})")
COUNTER = re.compile(r"(.*(?:Errors?|Discards).*?): ([0-9]{1,19})\b.*", re.IGNORECASE)
VERSION = re.compile(r"(NVIDIA-SMI|NVML|DRIVER|KMD|CUDA UMD|CUDA) version +: *(.*)", re.IGNORECASE)
IN_MIG = "nvlink queries are not supported for devices in mig mode"
ALL_DOWN = "unable to retrieve nvlink information as all links are inactive"
LONGEST_ROW = 300
MOST_COUNTERS = 1000


def read(lines: Sequence[str], start: int, reading: Reading) -> int:
    """Read a list from a GPU's line on, to the last line that belongs to it; `start` where none begins."""
    gpu: Gpu | None = None
    at = start
    for at in range(start, len(lines)):
        content, where = lines[at].strip(), reading.at(at + 1)
        if not content:
            continue
        if len(content) > LONGEST_ROW:
            break
        if header := GPU.fullmatch(content):
            gpu = reading.gpu(where, index=int(header[1]), uuid=header[3])
            reading.text(gpu, "name", header[2], where)
            reading.kinds.setdefault("nvidia-smi -L", None)
        elif gpu is None or not _detail(content, gpu, reading, where):
            break
    else:
        at += 1
    return at if gpu else start


def read_version(lines: Sequence[str], start: int, reading: Reading) -> int:
    """Read a line of `--version`."""
    match = VERSION.fullmatch(lines[start].strip()) if len(lines[start]) <= LONGEST_ROW else None
    if not match:
        return start
    version = reading.version(match[2], reading.at(start + 1))
    if match[1].upper() in ("DRIVER", "KMD"):
        reading.driver = reading.driver or version
    elif match[1].upper().startswith("CUDA"):
        reading.cuda = reading.cuda or version
    reading.kinds["nvidia-smi --version"] = None
    return start + 1


def _detail(content: str, gpu: Gpu, reading: Reading, where: str) -> bool:
    if mig := MIG.fullmatch(content):
        gpu.mig.setdefault(int(mig[2]), MigInstance()).profile = mig[1]
        gpu.flags["mig"] = Seen(True, where)
        return True
    if content.casefold() == "[...]":
        gpu.links_elided = True
        return True
    if IN_MIG in content.casefold():
        gpu.flags["mig"] = Seen(True, where)
        reading.kinds["nvidia-smi nvlink"] = None
        return True
    if ALL_DOWN in content.casefold():
        reading.kinds["nvidia-smi nvlink"] = None
        gpu.texts["nvlink"] = Seen("all links are inactive", where)
        return True
    link = LINK.fullmatch(content)
    if link is None:
        return False
    reading.kinds["nvidia-smi nvlink"] = None
    if speed := SPEED.fullmatch(content):
        gpu.links[int(speed[1])] = float(speed[2] or 0)
    elif counter := COUNTER.fullmatch(link[2]):
        if int(counter[2]) and len(gpu.link_errors) < MOST_COUNTERS:
            gpu.link_errors[f"link {link[1]} {counter[1]}"] = int(counter[2])
    elif "GB/s" in content or not link[2]:
        reading.damaged(content, where)
    return True


def about_links(reading: Reading) -> list[Finding]:
    """NVLinks that are down, that count errors, or that were cut out of what was pasted."""
    found: list[Finding] = []
    down = {gpu.label: [n for n, speed in gpu.links.items() if not speed] for gpu in reading.gpus}
    if down := {label: links for label, links in down.items() if links}:
        said = [f"GPU {label}: links {', '.join(map(str, links))}" for label, links in down.items()]
        found.append(
            Finding(
                severity="warning",
                code="nvlink-inactive",
                seen="; ".join(said)[:300],
                where=reading.file,
                means="GPUs of this server exchange data more slowly than they could",
                remedy="nvidia-smi nvlink -s after a restart of nvidia-fabricmanager; replace what stays down",
            )
        )
    errors = {gpu.label: gpu.link_errors for gpu in reading.gpus if gpu.link_errors}
    if errors:
        said = [f"GPU {label} {name}: {count}" for label, counts in errors.items() for name, count in counts.items()]
        found.append(
            Finding(
                severity="warning",
                code="nvlink-errors",
                seen="; ".join(said[:5]) + ("; …" if len(said) > 5 else ""),
                where=reading.file,
                means="transfers between GPUs are repeated; latency measured on this server is not a healthy server's",
                remedy="nvidia-smi nvlink -e again after an hour: counters that grow mean a bad link",
            )
        )
    if any(gpu.links_elided for gpu in reading.gpus):
        found.append(
            Finding(
                severity="info",
                code="nvlink-list-cut",
                seen="[...] stands in place of some links",
                where=reading.file,
                means="the NVLink bandwidth of this server is not added up",
                remedy="give the whole output of nvidia-smi nvlink -s",
            )
        )
    return found
