"""How long a command line takes to answer `--help`: Ferry beside other command lines, in one run.

    .venv/bin/python bench/startup.py [--runs 20] [--json]

Whole processes, one warm-up, the programs in turn so that a drift of the machine meets all of them; wall seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "ferry --help": [str(BIN / "ferry"), "--help"],
    "aws --version (v1)": [str(BIN / "aws"), "--version"],
    "moto_server --help": [str(BIN / "moto_server"), "--help"],
    "cfn-lint --help": [str(BIN / "cfn-lint"), "--help"],
    "pulumi --help": ["pulumi", "--help"],
}


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    commands = {name: command for name, command in COMMANDS.items() if shutil.which(command[0])}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(options.runs + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if run:
                seconds[name].append(time.perf_counter() - started)
    rows = {
        name: {"median": statistics.median(all_), "min": min(all_), "max": max(all_)} for name, all_ in seconds.items()
    }
    if options.json:
        print(json.dumps({"seconds": rows, "runs": options.runs}, indent=2))
        return
    print(f"{'command':22} {'median':>8} {'min':>8} {'max':>8}   seconds, {options.runs} runs")
    for name, row in rows.items():
        print(f"{name:22} {row['median']:8.3f} {row['min']:8.3f} {row['max']:8.3f}")
    for name in COMMANDS.keys() - commands.keys():
        print(f"{name:22} not on this machine, left out")


if __name__ == "__main__":
    main()
