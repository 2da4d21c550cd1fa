"""Reads what measured the collectives of a site: nccl-tests, RCCL's fork of it, and Neuron's nccom-test.

`nccl_tests` reads their tables, `json_report` the file of nccl-tests' `--json`, `nccom` the tables and the JSON of
nccom-test; each line of a table is a `rows.Row`, each table a `runs.Run`. `facts` says what follows from a run.
"""

from __future__ import annotations

from ferry.assess.collectives import json_report, nccl_tests, nccom
from ferry.assess.collectives.facts import MEASURE, CollectiveLog
from ferry.assess.collectives.rows import LONGEST_LINE

__all__ = ["MEASURE", "CollectiveLog", "parse"]


def parse(text: str, file: str) -> CollectiveLog:
    """Read all runs of a file of any of these kinds. Raises UnreadableInput when it holds no whole one."""
    if text[:LONGEST_LINE].lstrip()[:1] == "{":
        return json_report.parse(text, file)
    if any(mark in text for mark in nccom.MARKS):
        return nccom.parse(text, file)
    return nccl_tests.parse(text, file)
