"""How long a rehearsal takes: each of the four stacks that come with Ferry, as a person runs it.

    .venv/bin/python bench/rehearsal.py [--runs 3] [--json]

Whole processes of `ferry rehearse --stack ENV`, the stacks in turn; wall seconds, and the checks that each ran. There
is no peer that runs a Pulumi program with its checks on an embedded account, so none stands beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STACKS = ("dev", "staging", "prod", "prod-cn")


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        seconds: dict[str, list[float]] = {stack: [] for stack in STACKS}
        for _ in range(options.runs):
            for stack in STACKS:
                started = time.perf_counter()
                answer = rehearse(stack, Path(folder) / f"{stack}.yaml")
                seconds[stack].append(time.perf_counter() - started)
                rows[stack] = {
                    "median": statistics.median(seconds[stack]),
                    "min": min(seconds[stack]),
                    "max": max(seconds[stack]),
                    "resources": sum(answer["resources"].values()),
                    "checks": len(answer["checks"]),
                }
    if options.json:
        print(json.dumps({"seconds": rows, "runs": options.runs}, indent=2))
        return
    print(f"{'stack':10} {'median':>8} {'min':>8} {'max':>8}   seconds, {options.runs} runs")
    for stack, row in rows.items():
        print(
            f"{stack:10} {row['median']:8.2f} {row['min']:8.2f} {row['max']:8.2f}   "
            f"{row['resources']} resources, {row['checks']} checks"
        )


def rehearse(stack: str, output: Path) -> dict[str, dict[str, int]]:
    """Run `ferry rehearse` once; its result as JSON."""
    ferry = Path(sys.executable).with_name("ferry")
    done = subprocess.run(
        [
            str(ferry),
            "rehearse",
            "--stack",
            stack,
            "--project",
            str(ROOT),
            "--output",
            str(output),
            "--json",
            "--without-crossing",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    answer: dict[str, dict[str, int]] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    main()
