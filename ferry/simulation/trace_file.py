"""Reads a request trace into a workload."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np

from ferry.errors import InvalidField, UnreadableInput
from ferry.simulation.workload import Workload

COLUMNS = {"TIMESTAMP": "TIMESTAMP_NS", "ContextTokens": "BIGINT", "GeneratedTokens": "BIGINT"}
"""The CSV of Azure's LLM inference traces of 2023: times without a zone, with seven digits of a second."""


def read_trace(path: Path) -> Workload:
    """All requests of the trace, its first one at 0 s. They must stand in order of arrival.

    Raises UnreadableInput when the file is not such a CSV, InvalidField when a request is out of order or absurd; its
    number counts from 0, without the header.
    """
    names = ", ".join(COLUMNS)
    try:
        table = (
            duckdb.read_csv(str(path), header=True, dtype=COLUMNS, sep=",")
            .project("epoch_ns(TIMESTAMP) AS ns, ContextTokens AS input, GeneratedTokens AS output")
            .fetchnumpy()
        )
    except duckdb.Error as error:
        reason = " ".join(str(error).split())[:200]
        raise UnreadableInput(f"{path}: cannot be read as a trace, a CSV with the columns {names}: {reason}") from error
    for name, column in table.items():
        if np.ma.is_masked(column):
            at = int(np.flatnonzero(np.ma.getmaskarray(column))[0])
            raise UnreadableInput(f"{path}: request {at} has no {name}; every row needs {names}")
    try:
        if not len(table["ns"]):
            raise InvalidField("workload: it has no requests; give at least one")
        nanoseconds = np.asarray(table["ns"], dtype=np.int64)
        return Workload(
            arrival_s=(nanoseconds - nanoseconds[0]) / 1e9,
            input_tokens=np.asarray(table["input"]),
            output_tokens=np.asarray(table["output"]),
        )
    except InvalidField as error:
        raise InvalidField(f"{path}: {error}") from error
