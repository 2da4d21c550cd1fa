"""The whole road on the example site: assess, plan, simulate, cost, render, rehearse, report. `make demo` runs this.

It works on a copy of the program in build/demo, so that it changes no file of the clone.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ("Pulumi.yaml", "__main__.py", "components", "stacks", "templates")
ANSWER_IS_NO = 3


def main() -> int:
    """Run the verbs one after the other as a person would, each shown as it is called."""
    work = ROOT / "build" / "demo"
    shutil.rmtree(work, ignore_errors=True)
    project = work / "program"
    project.mkdir(parents=True)
    for name in PROGRAM:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, project / name)

    def made(name: str) -> str:
        return str((work / name).relative_to(Path.cwd()) if work.is_relative_to(Path.cwd()) else work / name)

    program = ["--project", made("program")]
    steps = [
        ["assess", str(ROOT / "examples" / "site" / "site.yaml"), "--output", made("assessment.yaml")],
        ["plan", made("assessment.yaml"), "--env", "demo", "--output", made("plan.yaml")],
        ["simulate", made("plan.yaml"), "--output", made("simulation.yaml")],
        ["cost", made("plan.yaml")],
        ["render", made("plan.yaml"), *program],
        ["rehearse", made("plan.yaml"), *program, "--output", made("rehearsal.yaml")],
        ["report", made("plan.yaml"), "--output", made("report.html")],
    ]
    for step in steps:
        sys.stdout.write(f"\n$ ferry {shlex.join(step)}\n")
        sys.stdout.flush()
        started = time.monotonic()
        code = subprocess.run([str(Path(sys.executable).with_name("ferry")), *step], check=False).returncode  # noqa: S603
        sys.stdout.write(f"({time.monotonic() - started:.1f} s)\n")
        if code:
            sys.stdout.write(
                f"ferry {step[0]} ended with {code}{': the answer is no' if code == ANSWER_IS_NO else ''}\n"
            )
            return code
    sys.stdout.write(f"\nThe report: {work / 'report.html'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
