"""Pushing and pulling models: Ferry beside awscrt, boto3, s5cmd and rclone, against one versitygw, in one run.

    .venv/bin/python bench/models.py [--runs 3] [--mib 512] [--small 10000] [--folder /dev/shm] [--json]

Whole processes, start-up included, the clients in turn so that a drift of the machine meets all of them; medians. Files
and server lie in memory, so that the clients are measured and not a disk; the server shares the machine's cores with
the client. CPU seconds are the client's own, peak memory its largest resident set. Ferry's push hashes with SHA-256 and
signs; its pull verifies. Programs that are not on PATH are left out, and said so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20
FERRY = [sys.executable, "-c", "from ferry.cli import main; main()", "models"]
# In parts whatever the size: a single put needs TLS.
RCLONE_REMOTE = ":s3,provider=Other,env_auth=true,region=us-east-1,force_path_style=true,upload_cutoff=5M"
BASE = "ferry"


@dataclass(frozen=True)
class Run:
    """One process, or several in a row: `rss_mib` is the largest of them. `answer` is what the last one printed."""

    wall_s: float
    cpu_s: float
    rss_mib: float
    answer: str = ""


class Bench:
    """A server, folders in memory, and the environment that every client gets."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder, self.endpoint = folder, endpoint
        self.environment = os.environ | {
            "AWS_ACCESS_KEY_ID": "ferry",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint,
            "S3_ENDPOINT_URL": endpoint,
            "FERRY_MODEL_BUCKET": "models",
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": str(ROOT),
        }
        self.versions = 0

    def run(self, *commands: list[str]) -> Run:
        """Run commands one after the other."""
        began, cpu, rss, answer = time.perf_counter(), 0.0, 0.0, ""
        for command in commands:
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
                process = subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=out, stderr=errors)
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                out.seek(0)
                errors.seek(0)
                answer = out.read().decode()
                if process.returncode:
                    raise SystemExit(f"{command}: exit code {process.returncode}: {errors.read().decode()}")
            cpu += used.ru_utime + used.ru_stime
            rss = max(rss, used.ru_maxrss / 1024)
        return Run(time.perf_counter() - began, cpu, rss, answer)

    def python(self, client: str, verb: str, source: Path | str, target: Path | str) -> list[str]:
        """A client that is a library, in a process of its own."""
        return [sys.executable, str(Path(__file__)), "--client", client, verb, str(source), str(target)]

    def push(self, source: Path, version: str) -> list[str]:
        """Ferry's push."""
        key = ["--signing-key", str(self.folder / "key.pem"), "--json"]
        return [*FERRY, "push", str(source), "--name", "r1", "--version", version, *key]

    def pull(self, version: str, target: Path) -> list[str]:
        """Ferry's pull."""
        return [*FERRY, "pull", f"r1@{version}", str(target), "--key", str(self.folder / "public.pem"), "--json"]

    def empty(self) -> None:
        """Remove what the bucket has."""
        for path in (self.folder / "data" / "models").iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        shutil.rmtree(self.folder / "out", ignore_errors=True)


def main() -> None:
    """Measure and print tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mib", type=int, default=512, help="size of each of the four large files")
    parser.add_argument("--small", type=int, default=10_000, help="small files of the second push")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="a file system in memory")  # noqa: S108
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--client", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        _be_client(*options.client)
        return
    if shutil.which("versitygw") is None:
        print("versitygw is not on PATH: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
        return
    with tempfile.TemporaryDirectory(prefix="ferry-bench-", dir=options.folder) as name, _server(Path(name)) as bench:
        load = os.getloadavg()[0]
        result = {"load_before": load, "runs": options.runs, "mib": options.mib, "skipped": _skipped()}
        result |= _transfers(bench, options.mib, options.runs)
        result["second_push"] = _second_push(bench, options.mib, options.small)
        result["new_versions"] = _new_versions(bench)
        result["load_after"] = os.getloadavg()[0]
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        _show(result)


def _skipped() -> dict[str, str]:
    return {name: "not on PATH" for name in ("s5cmd", "rclone", "sha256sum") if shutil.which(name) is None}


# ---- push and pull ----


def _transfers(bench: Bench, mib: int, runs: int) -> dict[str, Any]:
    source = _files(bench.folder / "source", {f"model-{number}.safetensors": mib for number in range(4)})
    pushes: dict[str, list[Run]] = {}
    pulls: dict[str, list[Run]] = {}
    for _ in range(runs):
        for name, commands in _push_clients(bench, source).items():
            bench.empty()
            pushes.setdefault(name, []).append(bench.run(*commands))
        bench.empty()
        bench.run(bench.push(source, "1"))
        for name, commands in _pull_clients(bench).items():
            shutil.rmtree(bench.folder / "out", ignore_errors=True)
            (bench.folder / "out").mkdir()
            pulls.setdefault(name, []).append(bench.run(*commands))
    bench.empty()
    shutil.rmtree(source)
    count = 4 * mib * MIB
    return {"push": _rows(pushes, count), "pull": _rows(pulls, count)}


def _push_clients(bench: Bench, source: Path) -> dict[str, list[list[str]]]:
    clients = {
        "ferry": [bench.push(source, "1")],
        "awscrt": [bench.python("awscrt", "push", source, "models/peer/")],
        "boto3": [bench.python("boto3", "push", source, "models/peer/")],
    }
    if shutil.which("s5cmd"):
        clients["s5cmd"] = [["s5cmd", "cp", f"{source}/", "s3://models/peer/"]]
    if shutil.which("rclone"):
        clients["rclone"] = [
            ["rclone", "copy", str(source), f"{RCLONE_REMOTE},endpoint='{bench.endpoint}':models/peer"]
        ]
    return clients


def _pull_clients(bench: Bench) -> dict[str, list[list[str]]]:
    out = bench.folder / "out"
    clients = {
        "ferry": [bench.pull("1", out / "r1")],
        "awscrt": [bench.python("awscrt", "pull", "models/models/r1/1/", out)],
        "boto3": [bench.python("boto3", "pull", "models/models/r1/1/", out)],
    }
    if shutil.which("s5cmd"):
        s5cmd = ["s5cmd", "cp", "s3://models/models/r1/1/*", f"{out}/"]
        clients["s5cmd"] = [s5cmd]
        if shutil.which("sha256sum"):
            hashing = f"find {out} -name '*.safetensors' -print0 | xargs -0 -n 1 -P {os.cpu_count()} sha256sum"
            clients["s5cmd, then sha256sum"] = [s5cmd, ["sh", "-c", hashing]]
    if shutil.which("rclone"):
        clients["rclone"] = [
            ["rclone", "copy", f"{RCLONE_REMOTE},endpoint='{bench.endpoint}':models/models/r1/1", str(out)]
        ]
    return clients


def _rows(runs: dict[str, list[Run]], count: int) -> dict[str, dict[str, float]]:
    """Medians; `ratio` is Ferry's rate by the peer's."""
    walls = {name: statistics.median(run.wall_s for run in all_) for name, all_ in runs.items()}
    return {
        name: {
            "wall_s": walls[name],
            "mb_per_s": count / 1e6 / walls[name],
            "cpu_s": statistics.median(run.cpu_s for run in all_),
            "rss_mib": max(run.rss_mib for run in all_),
            "ratio": walls[name] / walls[BASE],
        }
        for name, all_ in runs.items()
    }


# ---- what is not sent again ----


def _second_push(bench: Bench, mib: int, small: int) -> dict[str, Any]:
    source = _files(bench.folder / "source", {f"model-{number}.safetensors": mib for number in range(4)})
    chance = random.Random(1)
    for number in range(small):
        path = source / f"{number % 100:02}" / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(chance.randbytes(1000))
    time.sleep(2.5)  # a file that has just changed is hashed again, since its times may not show the next change
    first = bench.run(bench.push(source, "1"))
    again = bench.run(bench.push(source, "1"))
    result: dict[str, Any] = {
        "first": {"wall_s": first.wall_s, "cpu_s": first.cpu_s, "rss_mib": first.rss_mib},
        "ferry": {"wall_s": again.wall_s, "cpu_s": again.cpu_s, "rss_mib": again.rss_mib},
        "sent_bytes": json.loads(again.answer)["sent_bytes"],
    }
    if shutil.which("s5cmd"):
        bench.empty()
        sync = ["s5cmd", "sync", f"{source}/", "s3://models/peer/"]
        bench.run(sync)
        other = bench.run(sync)
        result["s5cmd sync"] = {"wall_s": other.wall_s, "cpu_s": other.cpu_s, "rss_mib": other.rss_mib}
    bench.empty()
    shutil.rmtree(source)
    return result


def _new_versions(bench: Bench) -> dict[str, float]:
    """Shares of the bytes that a second version sends: one of ten files is new; one tensor in each of ten shards."""
    source = _files(bench.folder / "source", {f"model-{number}.safetensors": 64 for number in range(10)})
    size = 10 * 64 * MIB
    bench.run(bench.push(source, "1"))
    (source / "model-3.safetensors").write_bytes(random.Random(3).randbytes(64 * MIB))
    one_file = json.loads(bench.run(bench.push(source, "2")).answer)
    for shard in source.iterdir():
        with shard.open("r+b") as file:
            file.seek(20 * MIB)
            file.write(random.Random(4).randbytes(MIB))
    tensors = json.loads(bench.run(bench.push(source, "3")).answer)
    bench.empty()
    shutil.rmtree(source)
    return {
        "one_file_of_ten_sent": one_file["sent_bytes"] / size,
        "one_tensor_in_each_shard_sent": tensors["sent_bytes"] / size,
        "one_tensor_in_each_shard_copied": tensors["copied_bytes"] / size,
    }


def _files(folder: Path, sizes_mib: dict[str, int]) -> Path:
    folder.mkdir()
    for seed, (name, mib) in enumerate(sizes_mib.items()):
        chance = random.Random(seed)
        with (folder / name).open("wb") as file:
            for _ in range(mib):
                file.write(chance.randbytes(MIB))
    return folder


# ---- the server ----


@contextmanager
def _server(folder: Path) -> Iterator[Bench]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ferry.signing_key import save_signing_key, verification_key

    (folder / "data" / "models").mkdir(parents=True)  # a bucket is a folder
    save_signing_key(folder / "key.pem", key := Ed25519PrivateKey.generate())
    (folder / "public.pem").write_text(verification_key(key))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    bench = Bench(folder, f"http://127.0.0.1:{port}")
    keys = {"ROOT_ACCESS_KEY": "ferry", "ROOT_SECRET_KEY": "not-a-secret"}
    command = [
        "versitygw",
        "--port",
        f"127.0.0.1:{port}",
        "--quiet",
        "--health",
        "/health",
        "posix",
        str(folder / "data"),
    ]
    with subprocess.Popen(
        command, env=bench.environment | keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(200):
                try:
                    urllib.request.urlopen(f"{bench.endpoint}/health", timeout=2).close()  # noqa: S310
                    break
                except OSError:
                    time.sleep(0.05)
            yield bench
        finally:
            process.terminate()


# ---- the peers that are libraries ----


def _be_client(client: str, verb: str, source: str, target: str) -> None:
    run: dict[tuple[str, str], Callable[[str, str], None]] = {
        ("awscrt", "push"): _awscrt_push,
        ("awscrt", "pull"): _awscrt_pull,
        ("boto3", "push"): _boto3_push,
        ("boto3", "pull"): _boto3_pull,
    }
    run[client, verb](source, target)


def _awscrt_push(source: str, target: str) -> None:
    from awscrt import s3

    checksum = s3.S3ChecksumConfig(algorithm=s3.S3ChecksumAlgorithm.CRC64NVME, location=s3.S3ChecksumLocation.TRAILER)
    _awscrt(
        [
            (
                "PUT",
                f"/{target}{path.name}",
                {"content-length": str(path.stat().st_size)},
                {"type": s3.S3RequestType.PUT_OBJECT, "send_filepath": str(path), "checksum_config": checksum},
            )
            for path in Path(source).iterdir()
        ]
    )


def _awscrt_pull(source: str, target: str) -> None:
    from awscrt import s3

    names = [f"model-{number}.safetensors" for number in range(4)]
    _awscrt(
        [
            ("GET", f"/{source}{name}", {}, {"type": s3.S3RequestType.GET_OBJECT, "recv_filepath": f"{target}/{name}"})
            for name in names
        ]
    )


def _awscrt(requests: list[tuple[str, str, dict[str, str], dict[str, Any]]]) -> None:
    from awscrt.auth import AwsCredentialsProvider
    from awscrt.http import HttpHeaders, HttpRequest
    from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup
    from awscrt.s3 import S3Client, S3RequestTlsMode, create_default_s3_signing_config

    host = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    group = EventLoopGroup()
    bootstrap = ClientBootstrap(group, DefaultHostResolver(group))
    credentials = AwsCredentialsProvider.new_environment()
    client = S3Client(
        bootstrap=bootstrap,
        region="us-east-1",
        signing_config=create_default_s3_signing_config(region="us-east-1", credential_provider=credentials),
        tls_mode=S3RequestTlsMode.DISABLED,
        part_size=16 * MIB,
        throughput_target_gbps=20.0,
    )
    running = [
        client.make_request(
            request=HttpRequest(method, path, HttpHeaders([("host", host), *headers.items()])), **arguments
        )
        for method, path, headers, arguments in requests
    ]
    for request in running:
        request.finished_future.result()


def _boto3_push(source: str, target: str) -> None:
    import boto3

    bucket, _, prefix = target.partition("/")
    client = boto3.client("s3")
    for path in Path(source).iterdir():
        client.upload_file(str(path), bucket, prefix + path.name)


def _boto3_pull(source: str, target: str) -> None:
    import boto3

    bucket, _, prefix = source.partition("/")
    client = boto3.client("s3")
    for number in range(4):
        name = f"model-{number}.safetensors"
        client.download_file(bucket, prefix + name, f"{target}/{name}")


# ---- text ----


def _show(result: dict[str, Any]) -> None:
    print(f"4 x {result['mib']} MiB, {result['runs']} runs, load {result['load_before']:.1f} before")
    for verb in ("push", "pull"):
        print(f"\n{verb:24}{'MB/s':>8}{'wall s':>8}{'CPU s':>8}{'MiB':>6}{'ferry is':>10}")
        for name, row in result[verb].items():
            print(
                f"{name:24}{row['mb_per_s']:8.0f}{row['wall_s']:8.2f}{row['cpu_s']:8.2f}{row['rss_mib']:6.0f}"
                f"{row['ratio']:9.2f}x"
            )
    again = result["second_push"]
    print(f"\nsecond push of the same: {again['sent_bytes']} bytes sent")
    for name in ("first", "ferry", "s5cmd sync"):
        if name in again:
            row = again[name]
            print(f"{name:24}{'':8}{row['wall_s']:8.2f}{row['cpu_s']:8.2f}{row['rss_mib']:6.0f}")
    new = result["new_versions"]
    print(f"\nnew version, 1 of 10 files changed: {new['one_file_of_ten_sent']:.1%} of the bytes sent")
    print(
        f"new version, a tensor in each of 10 shards changed: {new['one_tensor_in_each_shard_sent']:.1%} sent, "
        f"{new['one_tensor_in_each_shard_copied']:.1%} copied in the store"
    )
    for name, reason in result["skipped"].items():
        print(f"{name}: {reason}, left out")


if __name__ == "__main__":
    main()
