"""What the gateway costs, and what becomes of requests while traffic is moved, engines are bad and Envoy is killed.

    .venv/bin/python bench/crossing.py [added] [kills] [cutover] [releases] [--rate 500] [--runs 5] [--json]

added      latency that the gateway adds: the same load direct, through the gateway, and through nginx as a plain
           reverse proxy; runs in turns, medians of the runs' percentiles, CPU of each process beside them
kills      kill -9 of Envoy under its supervisor: how long nobody is served, lines of the access log that are lost
cutover    0 to 100 % and back under load: failed, truncated and repeated requests
releases   a bad release in the cloud: from the first request that it gets to the gate's decision

Two stub engines (ferry.rehearsal.stub_engine) answer 16 tokens each, a third of the requests as streams; the one in the
cloud speaks TLS. Everything shares this machine's cores. The load comes from vegeta (github.com/tsenart/vegeta), a
compiled generator with a constant rate whatever the answers: `go install github.com/tsenart/vegeta/v12@latest`; what
needs a program that is not on PATH is skipped, and said so. A client sees a truncated answer by itself, and a stream
without its `[DONE]` in its body; repeated requests are those of which an engine's journal has an id more than once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vegeta import Attack

from ferry.errors import FerryError
from ferry.rehearsal.crossing.site import Site, next_event, serving
from ferry.rehearsal.stub_engine.counts import COPY
from ferry.rehearsal.stub_engine.port import bound
from ferry.render.stack_file import StackFile
from ferry.traffic import requests
from ferry.traffic.cutover.controller import Told

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("added", "kills", "cutover", "releases")
STEADY = {"ttft_ms": 20, "ttft_sigma": 0, "tpot_ms": 2, "tpot_sigma": 0}
"""For what is compared: the engine itself takes the same time for each request."""
TICK = os.sysconf("SC_CLK_TCK")
POLICY = """\
schema: ferry/canary/v1
steps:
  - shadow
  - {percent: 1, minimum_requests: 50}
  - {percent: 5, minimum_requests: 250}
  - 25
  - 50
  - 100
gate: {minimum_seconds: 10}
"""
"""Short enough for three minutes: at 1 % of 500 requests a second, the gate's own sample size takes longer."""
POLICY_25 = """\
schema: ferry/canary/v1
steps: [25, 50, 100]
"""
RELEASES: Mapping[str, Mapping[str, Any]] = {
    "5xx 2 %": {"error_rate": 0.02},
    "P99 x 2": {"slow_rate": 0.03, "slow_factor": 3},
    "truncated streams 2 %": {"truncate_rate": 0.02},
    "hangs 2 %": {"hang_rate": 0.02},
}
NGINX = """\
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000;
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} reuseport;
    location / {{
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      proxy_read_timeout 300s;
    }}
  }}
}}
"""


def cpu_seconds(*pids: int) -> float:
    """That processes have used until now."""
    fields = [Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICK


@contextmanager
def nginx(engine_port: int, folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Nginx in front of an engine: its address, and its processes."""
    folder.mkdir()
    with bound(0) as keeper:
        port = keeper.getsockname()[1]
        configuration = folder / "nginx.conf"
        configuration.write_text(NGINX.format(folder=folder, engine=engine_port, port=port), encoding="utf-8")
        process = subprocess.Popen(["nginx", "-p", folder, "-c", configuration, "-g", "daemon off;"])
        try:
            while not (folder / "nginx.pid").exists() and process.poll() is None:
                time.sleep(0.05)
            if process.poll() is not None:
                raise SystemExit("nginx did not start")
            time.sleep(0.2)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
            yield f"http://127.0.0.1:{port}", [process.pid, *map(int, children)]
        finally:
            process.terminate()
            process.wait()


def added(site: Site, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The same load by each way, in turns."""
    ways: dict[str, tuple[str, list[int]]] = {
        "direct": (site.home.url, []),
        "gateway": (site.url, [site.envoy_pid]),
    }
    with ExitStack() as stack:
        if shutil.which("nginx"):
            ways["nginx"] = stack.enter_context(nginx(site.home.port, folder / "nginx"))
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
        for way in ways:  # connections are opened, and code is loaded, before anything is measured
            Attack(ways[way][0], options.rate, 2, folder).seen()
        for run in range(options.runs):
            order = list(ways)[run % len(ways) :] + list(ways)[: run % len(ways)]
            for way in order:
                url, pids = ways[way]
                before, engine = cpu_seconds(*pids), cpu_seconds(site.home.pid)
                attack = Attack(url, options.rate, options.seconds, folder)
                time.sleep(options.seconds - 0.2)
                cores = {
                    "proxy": (cpu_seconds(*pids) - before) / options.seconds,
                    "engine": (cpu_seconds(site.home.pid) - engine) / options.seconds,
                    "vegeta": cpu_seconds(attack.process.pid) / options.seconds,
                }
                runs[way].append(asdict(attack.seen()) | {"cores": cores})
    direct = runs["direct"]
    rows: dict[str, Any] = {"skipped": [] if "nginx" in ways else ["nginx is not on PATH"]}
    for way, each in runs.items():
        rows[way] = {
            "failed": sum(run["failed"] + run["truncated"] for run in each),
            "cores": {
                name: statistics.median(run["cores"][name] for run in each) for name in ("proxy", "engine", "vegeta")
            },
        }
        for kind in ("plain", "stream", "all"):
            for percentile in ("p50_ms", "p99_ms"):
                values = [run[percentile][kind] for run in each]
                differences = [value - run[percentile][kind] for value, run in zip(values, direct, strict=True)]
                rows[way][f"{kind} {percentile}"] = statistics.median(values)
                if way != "direct":
                    rows[way][f"{kind} {percentile} added"] = statistics.median(differences)
    return rows


def kills(site: Site, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Envoy is killed at random moments; the supervisor starts it again."""
    draw = random.Random(7)
    attack = Attack(site.url, options.rate, 2.5 * options.kills + 5, folder)
    gaps, bounds, lost = [], [], 0
    for _ in range(options.kills):
        time.sleep(draw.uniform(1.0, 2.0))
        os.kill(site.envoy_pid, signal.SIGKILL)
        died = next_event(site, "died")
        lost += died.lost_lines or 0
        bounds.append(died.unasked_seconds or 0.0)
        gaps.append(next_event(site, "serving").gap_ms or 0.0)
    seen = attack.seen()
    time.sleep(0.3)
    lines = requests.read(site.folder.access_log)
    answered = seen.requests - seen.failed - seen.truncated
    logged = sum(request.status == 200 and request.finished for request in lines.requests)
    return {
        "kills": options.kills,
        "gap_ms": {"median": statistics.median(gaps), "max": max(gaps), "min": min(gaps)},
        "clients": {"requests": seen.requests, "failed": seen.failed, "truncated": seen.truncated, "why": seen.why},
        "log lines lost, by Envoy's counters": lost,
        "counters last asked, s before": {"median": statistics.median(bounds), "max": max(bounds)},
        "whole answers without a line in the log": answered - logged,
        "unreadable lines": lines.unreadable,
        "weights afterwards": dict(site.folder.admin().applied_routes().weights),
    }


class Steps:
    """When a controller was first heard of each step, in seconds after this began."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.seconds: dict[str, float] = {}

    def told(self, told: Told) -> None:
        """Note it."""
        if told.action != "enter":
            self.seconds.setdefault(told.step, self.now())

    def now(self) -> float:
        """Seconds after this began."""
        return round(time.monotonic() - self._began, 1)


def cutover(site: Site, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All traffic to the cloud, step by step, then home; the load goes on from before until after."""
    policy = folder / "canary.yaml"
    policy.write_text(options.policy.read_text(encoding="utf-8") if options.policy else POLICY, encoding="utf-8")
    attack = Attack(site.url, options.rate, options.cutover_seconds, folder)
    steps = Steps()
    state = site.desk.controller(folder / "plan.yaml", policy, told=steps.told).run()
    result: dict[str, Any] = {
        "phase": state.phase,
        "reason": state.why,
        "steps in force, s": steps.seconds,
        "ended, s": steps.now(),
    }
    time.sleep(5)
    returned = time.monotonic()
    site.desk.go_home(force=False, why="measured")
    result["rollback, s"] = round(time.monotonic() - returned, 2)
    result["load went on afterwards"] = attack.process.poll() is None
    seen = attack.seen()
    time.sleep(0.3)
    journal = Counter(_arrived(folder / "home.journal") + _arrived(folder / "cloud.journal"))
    read = requests.read(site.folder.access_log).requests
    return result | {
        "requests": seen.requests,
        "failed": seen.failed,
        "truncated": seen.truncated,
        "repeated": sum(times > 1 for times in journal.values()),
        "why": seen.why,
        "answered by": dict(Counter(each.cluster for each in read)),
        "p99_ms": seen.p99_ms,
    }


def _arrived(journal: Path) -> list[str]:
    """The ids of clients' requests: no copies of the gateway, and not what asks an engine whether it is warm."""
    lines = (line.split("\t") for line in journal.read_text(encoding="utf-8").splitlines())
    return [
        request_id for request_id, what in lines if request_id and what == "arrived" and not request_id.endswith(COPY)
    ]


def releases(site: Site, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The cloud is bad from its first request at 25 % on; a cutover each."""
    policy = folder / "canary-25.yaml"
    policy.write_text(POLICY_25, encoding="utf-8")
    rows: dict[str, Any] = {}
    for name, behaviour in {"as good as home": {}, **RELEASES}.items():
        site.desk.go_home(force=True, why="measured")
        site.cloud.recover(**behaviour)
        attack = Attack(site.url, options.rate, options.release_seconds, folder)
        time.sleep(2)
        steps = Steps()
        controller = site.desk.controller(folder / "plan.yaml", policy, told=steps.told)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(controller.run)
            wait([running], options.release_seconds - 5)
            ended_s = steps.now()
            if not running.done():
                site.desk.abort("the benchmark", force=True)
            else:
                running.result()
        state = site.desk.states.load()
        if state is None:
            raise SystemExit("the cutover left no state")
        rows[name] = {
            "phase": state.phase,
            "seconds": round(ended_s - steps.seconds["25 %"], 1) if "25 %" in steps.seconds else None,
            "steps in force, s": steps.seconds,
            "why": state.why,
        }
        if attack.process.poll() is None:
            attack.stop()
        site.cloud.recover()
        seen = attack.seen()
        rows[name] |= {"clients": f"{seen.failed} failed, {seen.truncated} truncated of {seen.requests}"}
    site.cloud.recover()
    return rows


MEASURES: Mapping[str, Callable[[Site, Path, argparse.Namespace], dict[str, Any]]] = {
    "added": added,
    "kills": kills,
    "cutover": cutover,
    "releases": releases,
}


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rate", type=int, default=500, help="requests per second")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="of each run of `added`")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cutover-seconds", type=float, default=180)
    parser.add_argument("--release-seconds", type=float, default=90)
    parser.add_argument("--policy", type=Path, metavar="FILE", help="of `cutover`")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := sorted(set(options.parts) - set(PARTS)):
        parser.error(f"unknown: {', '.join(unknown)}; allowed: {', '.join(PARTS)}")
    if shutil.which("vegeta") is None:
        print("skipped: vegeta is not on PATH; go install github.com/tsenart/vegeta/v12@latest")
        return
    settings = StackFile.read(ROOT / "stacks" / "Pulumi.dev.yaml").settings()
    results: dict[str, Any] = {}
    for part in options.parts or PARTS:
        behaviour: Mapping[str, Any] = STEADY if part in ("added", "cutover") else {}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "plan.yaml").touch()
            try:
                with serving(folder, settings, home=behaviour, cloud=behaviour, journals=True) as site:
                    results[part] = MEASURES[part](site, folder, options)
            except FerryError as error:
                results[part] = {"ended with": str(error)}
        if not options.json:
            _print(part, results[part])
    if options.json:
        print(json.dumps(results, indent=2))


def _print(part: str, result: Mapping[str, Any]) -> None:
    print(f"\n{part}")
    for name, value in result.items():
        if not isinstance(value, Mapping):
            print(f"  {name:44} {value}")
            continue
        print(f"  {name}")
        for key, each in value.items():
            print(f"    {key:42} {f'{each:.2f}' if isinstance(each, float) else each}")


if __name__ == "__main__":
    main()
