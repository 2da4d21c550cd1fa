"""Verifying a million lines of the request log, beside sha256sum and Python's json.loads over the same bytes.

    .venv/bin/python bench/audit.py [--lines 1000000] [--runs 3] [--json]

The lines are made as Envoy logs requests, chained and signed by the shipper's own code into a temporary folder, and
read once before anything is timed. Each program is a process of its own, start-up included; they take turns; medians.
Peak memory is the largest resident set. `jq -c .` is run where it is on PATH.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry.models.signature import FileSigner, TrustedKeys, key_id
from ferry.traffic.audit.shipper import Gateway, Identity, Named, Shipper

FERRY = [sys.executable, "-c", "from ferry.cli import main; main()", "audit", "verify"]
PARSE = "import json, sys\nfor name in sys.argv[1:]:\n    for line in open(name, 'rb'):\n        json.loads(line)"

LAUNCH = """
import os, sys, time
began = time.perf_counter()
out = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
_, status, used = os.wait4(os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=out), 0)
print(time.perf_counter() - began, used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass
class Folder:
    """A store that is a folder."""

    path: Path
    bucket: str = "bench"
    keys: list[str] = field(default_factory=list)

    def put_small(self, key: str, content: bytes, *, replacing: str | None) -> str:
        """Write an object."""
        (self.path / key).parent.mkdir(parents=True, exist_ok=True)
        (self.path / key).write_bytes(content)
        self.keys.append(key)
        return ""

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Nothing is asked for."""
        return None

    def list(self, prefix: str) -> Iterator[Named]:
        """The chain is new."""
        return iter(())


def log_lines(count: int) -> Iterator[str]:
    """Lines with the keys and the length that the gateway's have."""
    chance = random.Random(1)
    for number in range(count):
        first = chance.uniform(30, 900)
        yield json.dumps(
            {
                "start_time": f"2026-11-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.123Z",
                "request_id": f"{chance.getrandbits(128):032x}",
                "client": f"10.0.{number % 200}.{number % 250}",
                "tenant": f"tenant-{number % 40}",
                "subject": f"user-{number % 5000}",
                "token_id": f"{chance.getrandbits(64):016x}",
                "method": "POST",
                "path": "/v1/chat/completions",
                "protocol": "HTTP/1.1",
                "status": 200,
                "flags": "-",
                "details": "via_upstream",
                "route": "weighted",
                "cluster": chance.choice(["local", "cloud"]),
                "upstream": "10.1.0.7:8000",
                "attempts": 1,
                "model_version": "r1-32b",
                "streamed": number % 3 == 0,
                "duration_ms": round(first * chance.uniform(1, 30)),
                "first_byte_ms": round(first),
                "prompt_tokens": chance.randrange(20, 4000),
                "completion_tokens": chance.randrange(1, 900),
                "bytes_received": chance.randrange(200, 20_000),
                "bytes_sent": chance.randrange(200, 40_000),
                "finished": True,
            },
            separators=(",", ":"),
        )


def make(folder: Path, count: int) -> list[Path]:
    """Chain so many lines, in objects of about 7,000, and write the public key."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(public)
    signer = FileSigner(key)
    log = folder / "access.jsonl"
    with log.open("w") as file:
        file.writelines(line + "\n" for line in log_lines(count))
    store = Folder(folder / "archive")
    gateway = Gateway(instance="home", log=log, state=folder / "state")
    identity = Identity(signer, key_id(signer.public_key), TrustedKeys([signer.public_key]))
    began = time.perf_counter()
    with Shipper(gateway, store, identity, most_lines=5000) as shipper:
        shipper.finish()
    sys.stderr.write(f"chained and signed {count:,} lines in {time.perf_counter() - began:.1f} s\n")
    log.unlink()
    return [store.path / key for key in store.keys]


def timed(command: Sequence[str | Path]) -> tuple[float, float]:
    """Seconds and peak memory in MB of a process. Raises SystemExit where it fails."""
    # A process starts with the peak of the one that started it, so a small one stands between.
    launched = subprocess.run([sys.executable, "-I", "-S", "-c", LAUNCH, *command], capture_output=True, check=False)
    if launched.returncode:
        raise SystemExit(f"{command[0]} ended with {launched.returncode}: {launched.stderr.decode()}")
    seconds, peak_kb = launched.stdout.split()
    return float(seconds), float(peak_kb) / 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        objects = make(folder, options.lines)
        size = sum(path.stat().st_size for path in objects)
        peers: dict[str, list[str | Path]] = {
            "ferry audit verify": [*FERRY, folder / "archive", "--key", folder / "public.pem", "--json"],
            "sha256sum": ["sha256sum", *objects],
            "json.loads of each line": [sys.executable, "-c", PARSE, *objects],
        }
        if shutil.which("jq"):
            peers["jq -c ."] = ["jq", "-c", ".", *objects]
        for path in objects:
            path.read_bytes()
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
        for _ in range(options.runs):
            for name, command in peers.items():
                found[name].append(timed(command))
    rows = {
        name: {
            "seconds": round(statistics.median(seconds for seconds, _ in runs), 2),
            "peak_mb": round(max(peak for _, peak in runs)),
        }
        for name, runs in found.items()
    }
    result = {"lines": options.lines, "objects": len(objects), "mb": round(size / 1e6), "programs": rows}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{options.lines:,} lines, {result['mb']} MB in {len(objects)} objects, median of {options.runs}")
    for name, row in rows.items():
        print(f"  {name:26} {row['seconds']:7.2f} s   {row['peak_mb']:5.0f} MB")


if __name__ == "__main__":
    main()
