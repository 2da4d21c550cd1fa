"""How long percentiles of a large request log take, and how much memory: Ferry beside a plain Python loop, in one run.

    .venv/bin/python bench/request_logs.py [--size-gb 10] [--format litellm|nginx] [--peer-gb 0.5] [--folder DIR] ...

Makes the log in a temporary folder (after a look at the free space), and removes it. Each reader is a process of its
own; its peak memory is what the kernel says of it (ru_maxrss). The Python loop (one pass, json or re, counts per value,
exact nearest rank) reads a smaller log of the same kind and is extrapolated in proportion; on that one both must give
equal numbers.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

LINE_BYTES = {"litellm": 837, "nginx": 152}
"""Of a line that `make` writes, about."""
_NGINX = re.compile(r'\[([^\]]+)\] "POST [^"]+" (\d+) \d+ "-" "[^"]*" rt=([0-9.]+)')


def make(path: Path, gigabytes: float, kind: str) -> int:
    """Write a log of so many GB and return its lines: four requests a second, log-normal lengths and latencies."""
    lines = int(gigabytes * 1e9 / LINE_BYTES[kind])
    # Sums of uniform numbers are near enough to normal ones; hash() makes the same log on every machine.
    normal = "(({}) - 6) / 1.0".format(" + ".join(f"hash(i * 13 + {j}) / 18446744073709551616.0" for j in range(12)))
    latency = f"exp(1 + 0.9 * {normal})"
    status = "CASE WHEN hash(i + 7) % 200 = 0 THEN 502 ELSE 200 END"
    if kind == "nginx":
        # CSV without quotes and with a delimiter that is nowhere in it: the line as it is.
        content = (
            "'10.0.' || (i % 256) || '.7 - - [' || strftime(to_timestamp(1760000000 + i // 4), '%d/%b/%Y:%H:%M:%S') || "
            f"' +0000] \"POST /v1/chat/completions HTTP/1.1\" ' || ({status}) || ' ' || (hash(i) % 90000) || "
            f'\' "-" "python-requests/2.31.0" rt=\' || printf(\'%.3f\', {latency}) || \' uct="0.002" urt="2.100"\''
        )
        options = "FORMAT csv, HEADER false, DELIMITER '\x01', QUOTE '', ESCAPE ''"
        query = f"SELECT {content} FROM (SELECT range AS i FROM range({lines}))"
    else:
        # The columns of LiteLLM_SpendLogs, as its proxy exports them: without prompts, unless it is asked for them.
        at = "strftime(make_timestamp(CAST(1760000000000000 + i * 250000 + {} AS BIGINT)), '%Y-%m-%dT%H:%M:%S.%fZ')"
        query = (
            "SELECT 'chatcmpl-' || md5(i::VARCHAR) AS request_id, 'acompletion' AS call_type, md5('k' || i % 50) || "
            "md5('l' || i % 50) AS api_key, 0.0 AS spend, prompts + answers AS total_tokens, prompts AS prompt_tokens, "
            f"answers AS completion_tokens, {at.format('0')} AS startTime, {at.format('took')} AS endTime, "
            f"{at.format('took // 8')} AS completionStartTime, 'deepseek-r1' AS model, md5('m') AS model_id, "
            "'deepseek-r1' AS model_group, 'hosted_vllm' AS custom_llm_provider, 'http://10.0.0.4:8000/v1' "
            "AS api_base, "
            "'u' || (i % 1000) AS \"user\", {'user_api_key_alias': 'team-' || i % 50, 'status': 'success', "
            "'applied_guardrails': []::VARCHAR[]} AS metadata, 'False' AS cache_hit, 'Cache OFF' AS cache_key, "
            "[]::VARCHAR[] AS request_tags, 'team-' || i % 50 AS team_id, '' AS end_user, '10.0.1.7' AS "
            "requester_ip_address, md5('s' || i // 7) AS session_id, "
            "CASE WHEN hash(i + 7) % 200 = 0 THEN 'failure' ELSE 'success' END AS status FROM (SELECT i, "
            f"CAST(1000 * round(1000 * {latency}) AS BIGINT) AS took, "
            f"CAST(exp(6 + 1.1 * {normal}) AS INTEGER) AS prompts, "
            f"CAST(exp(5 + {normal}) AS INTEGER) AS answers FROM (SELECT range AS i FROM range({lines})))"
        )
        options = "FORMAT json, ARRAY false"
    with duckdb.connect(config={"memory_limit": "1GB"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({query}) TO '{path}' ({options})")
    return lines


def by_ferry(path: Path, show: bool) -> dict[str, Any]:
    """Ferry's reader, as `ferry assess` uses it."""
    from ferry.traces import open_trace, statistics

    def progress(done: int, whole: int) -> None:
        if show:
            print(f"\r  read {done / 1e9:.1f} of {whole / 1e9:.1f} GB", end="", file=sys.stderr, flush=True)

    with open_trace(path, progress=progress) as trace:
        found = statistics.of(trace)
    if show:
        print(file=sys.stderr)
    numbers: dict[str, Any] = {"requests": found.requests, "server_errors": found.server_errors}
    for name in ("input_tokens", "output_tokens", "latency_us"):
        if one := getattr(found, name):
            numbers[name] = [one.p50, one.p95, one.p99]
    numbers["peak_in_flight"] = found.peak_in_flight
    return numbers


def by_loop(path: Path) -> dict[str, Any]:
    """One pass of plain Python."""
    counts: dict[str, Counter[int]] = {"input_tokens": Counter(), "output_tokens": Counter(), "latency_us": Counter()}
    requests = errors = 0
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            requests += 1
            if line[0] == "{":
                row = json.loads(line)
                counts["input_tokens"][row["prompt_tokens"]] += 1
                counts["output_tokens"][row["completion_tokens"]] += 1
                start, end = (datetime.fromisoformat(row[name]) for name in ("startTime", "endTime"))
                counts["latency_us"][(end - start) // timedelta(microseconds=1)] += 1
                errors += row["status"] == "failure"
            elif found := _NGINX.search(line):
                counts["latency_us"][round(float(found[3]) * 1e6)] += 1
                errors += int(found[2]) >= 500
    numbers: dict[str, Any] = {"requests": requests, "server_errors": errors}
    for name, values in counts.items():
        if values:
            numbers[name] = [_nearest_rank(values, percent) for percent in (50, 95, 99)]
    return numbers


def _nearest_rank(counts: Counter[int], percent: int) -> int:
    rank = -(-percent * counts.total() // 100)
    for value in sorted(counts):
        rank -= counts[value]
        if rank <= 0:
            return value
    raise ValueError("no values")


def measured(reader: str, path: Path, quiet: bool) -> dict[str, Any]:
    """A reader in a process of its own: seconds, peak memory, numbers."""
    command = [sys.executable, __file__, "--child", reader, str(path), *(["--json"] if quiet else [])]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {"seconds": time.perf_counter() - started, "gb": path.stat().st_size / 1e9, **json.loads(done.stdout)}


def child(reader: str, path: Path, quiet: bool) -> None:
    """Print the numbers of one reader, and the most memory that it held."""
    numbers = by_ferry(path, not quiet) if reader == "ferry" else by_loop(path)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s, peak_gb = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9
    print(json.dumps({"numbers": numbers, "cpu_seconds": cpu_s, "peak_memory_gb": peak_gb}))


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-gb", type=float, default=10)
    parser.add_argument("--peer-gb", type=float, default=0.5)
    parser.add_argument("--format", choices=sorted(LINE_BYTES), default="litellm")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]), options.json)
        return
    # The log, and the table that DuckDB keeps of it.
    needed_gb, free_gb = 1.5 * options.size_gb + options.peer_gb, shutil.disk_usage(options.folder).free / 1e9
    if free_gb < needed_gb:
        parser.error(
            f"needs {needed_gb:.0f} GB in {options.folder}, free are {free_gb:.0f}; give --size-gb or --folder"
        )
    folder = Path(tempfile.mkdtemp(prefix="ferry-bench-", dir=options.folder))
    try:
        log, part = folder / "requests.log", folder / "part.log"
        make(log, options.size_gb, options.format)
        make(part, min(options.peer_gb, options.size_gb), options.format)
        whole = measured("ferry", log, options.json)
        same, loop = measured("ferry", part, True), measured("loop", part, True)
    finally:
        shutil.rmtree(folder)
    same["numbers"].pop("peak_in_flight")
    equal = same["numbers"] == loop["numbers"]
    scaled = loop["seconds"] * whole["gb"] / loop["gb"]
    if options.json:
        result = {"format": options.format, "ferry": whole, "ferry_on_part": same, "loop_on_part": loop, "equal": equal}
        print(json.dumps({**result, "loop_extrapolated_s": scaled}, indent=2))
        return
    print(f"{options.format} log of {whole['gb']:.2f} GB, {whole['numbers']['requests']:,} requests")
    print(
        f"  Ferry        {whole['seconds']:8.1f} s   of the processors {whole['cpu_seconds']:.1f} s, peak memory "
        f"{whole['peak_memory_gb']:.2f} GB"
    )
    print(f"  Python loop  {scaled:8.1f} s   extrapolated from {loop['seconds']:.1f} s for {loop['gb']:.2f} GB")
    print(f"  numbers on that part: {'equal' if equal else 'DIFFERENT'}; of the whole log: {whole['numbers']}")
    if not equal:
        sys.exit(1)


if __name__ == "__main__":
    main()
