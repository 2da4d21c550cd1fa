"""Alert rules as Prometheus evaluates them: `promtool test rules`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml


def promtool(*arguments: str | Path, cwd: Path) -> None:
    """Run it; it has to succeed."""
    ran = subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def rules(folder: Path, *files: str) -> Iterator[dict[str, Any]]:
    """The rules of the rendered folder `local/`, of all files where none is named, in order."""
    for path in sorted((folder / "prometheus" / "rules").glob("*.yaml")):
        if not files or path.stem in files:
            for group in yaml.safe_load(path.read_text())["groups"]:
                yield from group["rules"]


def check(
    rule_file: Path, scratch: Path, *tests: tuple[Mapping[str, str], Sequence[dict[str, Any]]], minutes: int = 1
) -> None:
    """Each test: series to their values, one every so many minutes, and what `promtool` expects of the alerts."""
    groups = [{**_inputs(series, minutes), "alert_rule_test": list(expected)} for series, expected in tests]
    _run(rule_file, scratch, groups, minutes)


def check_firing(rule_file: Path, scratch: Path, *tests: tuple[int, str, Mapping[str, str]]) -> None:
    """Each test: at that minute one alert of that name fires, whatever it says, from these series."""
    groups = [
        {
            **_inputs(series, 1),
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                    "eval_time": f"{minute}m",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
            ],
        }
        for minute, name, series in tests
    ]
    _run(rule_file, scratch, groups, 1)


def _inputs(series: Mapping[str, str], minutes: int) -> dict[str, Any]:
    return {
        "interval": f"{minutes}m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
    }


def _run(rule_file: Path, scratch: Path, groups: list[dict[str, Any]], minutes: int) -> None:
    document = {"rule_files": [str(rule_file)], "evaluation_interval": f"{minutes}m", "tests": groups}
    path = scratch / "test.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True))
    promtool("test", "rules", path, cwd=scratch)


def alert(name: str, minute: int, *found: dict[str, Any]) -> dict[str, Any]:
    """What has to fire at that minute; nothing where nothing is given."""
    return {"alertname": name, "eval_time": f"{minute}m", "exp_alerts": list(found)}


def fires(severity: str, name: str, summary: str, action: str | None = None, /, **labels: str) -> dict[str, Any]:
    """One alert as a person gets it."""
    asked = {} if action is None else {"action": action}
    return {
        "exp_labels": {"severity": severity, **labels},
        "exp_annotations": {"summary": summary, "runbook": f"runbook.md#{name.lower()}", **asked},
    }
