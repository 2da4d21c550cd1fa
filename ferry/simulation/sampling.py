"""What CloudWatch and a plot see of the fleet: one sample each minute."""

from __future__ import annotations

import numpy as np

from ferry.simulation.batching import blocks_of, completed_by, count_anew, decoding_blocks
from ferry.simulation.compiled import part
from ferry.simulation.state import DRAINING, IN_SERVICE, NOBODY, PENDING, Engine, Record, Records, Requests, Rows
from ferry.simulation.workload import Floats, Integers

PERIOD_S = 60.0
"""CloudWatch's period of one minute; a datapoint is the sample at its end."""

METRICS = ("load", "kv_use", "utilisation")


@part
def used_blocks(
    row: Record,
    is_running: bool,
    now_s: float,
    prompts: Integers,
    residues: Integers,
    requests: Requests,
    engine: Engine,
) -> int:
    """Blocks that the batch holds at `now_s`, with those of the iteration in flight."""
    steps = completed_by(row, now_s) + 1 if is_running else 0
    used = decoding_blocks(row, residues, steps, engine)
    for index in range(row.ending_prompts):
        request = prompts[index]
        used += blocks_of(requests.input_tokens[request] + requests.generated[request], engine)
    if row.partial != NOBODY:
        used += blocks_of(row.partial_computed + (row.partial_chunk if is_running else 0), engine)
    return used


@part
def sample(period: Record, now_s: float, fleet: Record, rows: Rows, requests: Requests, engine: Engine) -> None:
    """Fill one entry of the periods, but for `desired`."""
    running = 0
    waiting = 0
    load = 0.0
    kv_use = 0.0
    utilisation = 0.0
    for index in range(len(rows.state)):
        row = rows.state[index]
        if row.phase != IN_SERVICE and row.phase != DRAINING:
            continue
        count_anew(row, rows.finishing[index], engine)
        is_running = not row.is_idle and not row.starting
        waiting += row.waiting
        running += row.outstanding - row.waiting
        busy_s = row.busy_s + (now_s - row.started_s if is_running else 0.0)
        if row.phase == IN_SERVICE:
            load += row.outstanding / engine.max_sequences
            kv_use += (
                used_blocks(row, is_running, now_s, rows.prompts[index], rows.residues[index], requests, engine)
                / engine.kv_blocks
            )
            utilisation += (busy_s - row.busy_before_s) / PERIOD_S
        row.busy_before_s = busy_s
    serving = fleet.in_service if fleet.in_service > 0 else np.nan
    period.end_s = now_s
    period.in_service = fleet.in_service
    period.pending = fleet.pending
    period.draining = fleet.draining
    period.running = running
    period.waiting = waiting + fleet.waiting
    period.gateway = fleet.waiting
    period.load = load / serving
    period.kv_use = kv_use / serving
    period.utilisation = utilisation / serving


@part
def service_times(times: Floats, rows: Rows, instances: Records) -> int:
    """Write into `times` when each pending or serving instance comes or came into service, in s. Returns how many."""
    count = 0
    for index in range(len(rows.state)):
        row = rows.state[index]
        if row.phase == PENDING:
            times[count] = row.until_s
            count += 1
        elif row.phase == IN_SERVICE:
            times[count] = instances[row.instance].in_service_s
            count += 1
    return count
