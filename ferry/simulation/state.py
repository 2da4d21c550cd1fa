"""The arrays that the compiled simulation works on.

A row is a place for an instance: rows are few, and used again when an instance has gone. Everything of one instance
that is touched at each of its events lies in one record, so in one or two cache lines.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferry.simulation.tournament import tournament
from ferry.simulation.workload import Floats, Integers

Record: TypeAlias = Any
"""One entry of Records: compiled code reads and writes its fields as attributes."""
Records: TypeAlias = NDArray[Any]
Entries: TypeAlias = NDArray[np.int64]

EMPTY, PENDING, IN_SERVICE, DRAINING = 0, 1, 2, 3
"""Phases of a row's instance."""

NOBODY = -1
"""Ends a queue; also no request, no instance."""

NEVER = np.inf
UNROUTABLE = np.iinfo(np.int64).max
"""Key of a row that takes no requests."""

ROW = np.dtype(
    [
        # The segment in flight: `iterations` alike but for the cache they read, which grows evenly. Iteration m
        # (from 0) starts at started_s + m step_s + m (m - 1) growth_s.
        ("started_s", np.float64),
        ("step_s", np.float64),
        ("growth_s", np.float64),
        ("end_s", np.float64),
        ("last_start_s", np.float64),
        ("iterations", np.int64),
        # Decoding requests: how many, the sum of their computed tokens, iterations that this engine has done.
        ("decoding", np.int64),
        ("computed", np.int64),
        ("done", np.int64),
        # Prompts in the segment in flight: those that end with it (in `prompts`), and one that goes on.
        ("ending_prompts", np.int64),
        ("partial", np.int32),
        ("partial_computed", np.int32),
        ("partial_chunk", np.int32),
        # The queue; its last `unseen` came after the engine began to compose its next iteration.
        ("head", np.int32),
        ("tail", np.int32),
        ("waiting", np.int32),
        ("unseen", np.int32),
        # What finished requests still hold until the next iteration has been composed.
        ("held_sequences", np.int32),
        ("held_blocks", np.int32),
        ("is_idle", np.int32),
        ("starting", np.int32),
        ("admitted", np.int32),
        # The instance.
        ("phase", np.int32),
        ("instance", np.int32),
        ("outstanding", np.int64),
        ("until_s", np.float64),
        ("busy_s", np.float64),
        ("busy_before_s", np.float64),
    ],
    align=True,
)
"""until_s: when a pending instance comes into service, when a draining one is ended; starting: 1 between the end of a
segment (or an arrival at an idle engine), at end_s, and the next one's start; admitted: admissions so far."""

LAUNCHED = np.dtype(
    [
        ("launched_s", np.float64),
        ("in_service_s", np.float64),
        ("ended_s", np.float64),
        ("busy_s", np.float64),
        ("is_spot", np.bool_),
    ],
    align=True,
)
"""One instance that was launched, by id."""

PERIOD = np.dtype(
    [
        ("end_s", np.float64),
        ("in_service", np.int32),
        ("pending", np.int32),
        ("draining", np.int32),
        ("desired", np.int32),
        ("running", np.int32),
        ("waiting", np.int32),
        ("gateway", np.int32),
        ("load", np.float64),
        ("kv_use", np.float64),
        ("utilisation", np.float64),
    ],
    align=True,
)


FLEET = np.dtype(
    [
        ("now_s", np.float64),
        ("change_s", np.float64),
        ("end_s", np.float64),
        ("upcoming", np.int64),
        ("open_requests", np.int64),
        ("periods", np.int64),
        ("deserted_periods", np.int64),
        ("in_service", np.int64),
        ("pending", np.int64),
        ("draining", np.int64),
        ("desired", np.int64),
        ("launched", np.int64),
        ("last_routed", np.int64),
        ("notices_given", np.int64),
        ("preemptions", np.int64),
        ("iterations", np.int64),
        # The gateway's queue.
        ("head", np.int32),
        ("tail", np.int32),
        ("waiting", np.int32),
    ],
    align=True,
)
"""The run: how far it is, how many instances there are. change_s: when instances change next; end_s: the last finish;
upcoming: the next request to arrive; open_requests: those not finished or refused; periods: how many have ended."""


class Requests(NamedTuple):
    """Arrays of length N. `following` chains the queues; `admission` orders what an instance has admitted."""

    arrival_s: Floats
    input_tokens: Integers
    output_tokens: Integers
    cached_tokens: Integers
    first_token_s: Floats
    last_token_s: Floats
    instance: Integers
    retries: NDArray[np.int16]
    following: Integers
    admission: Integers
    generated: Integers


class Settings(NamedTuple):
    """FleetSettings as numbers; warm_ready_s: float64[warm_pool_size], when each warm instance can be taken."""

    is_round_robin: bool
    start_s: float
    warm_start_s: float
    warm_ready_s: Floats
    deregistration_delay_s: float
    on_demand_base: int
    spot_share: float
    notices_s: Floats
    notice_slots: Integers


class Engine(NamedTuple):
    """ReplicaSettings as numbers; block_tokens is 1 << block_shift."""

    fixed: float
    weights: float
    per_token: float
    per_sequence: float
    per_cached_token: float
    per_attention_pair: float
    max_sequences: int
    max_batched_tokens: int
    kv_blocks: int
    block_shift: int
    longest: int
    lookahead: int


class Rows(NamedTuple):
    """R rows, a power of two.

    finishing:  int64[R, max_sequences], a binary heap of decoding requests: at how many iterations done one finishes
                (all advance by one token an iteration), shifted by 32, and its index
    prompts:    int32[R, max_sequences], requests whose prompt ends with the segment in flight
    residues:   int32[R, block_tokens], how many decoding requests have (computed - done) modulo block_tokens
    due_*:      tournament of when a row's segment ends
    route_*:    tournament of who gets the next request: outstanding requests, then the instance's id
    """

    state: Records
    finishing: Entries
    prompts: Integers
    residues: Integers
    due_key: Floats
    due_row: Integers
    route_key: NDArray[np.int64]
    route_row: Integers
    scratch_s: Floats


def rows(count: int, max_sequences: int, block_tokens: int) -> Rows:
    """`count` rows, a power of two, without instances."""
    due_key, due_row = tournament(np.full(count, NEVER))
    route_key, route_row = tournament(np.full(count, UNROUTABLE))
    return Rows(
        state=np.zeros(count, ROW),
        finishing=np.zeros((count, max_sequences), np.int64),
        prompts=np.zeros((count, max_sequences), np.int32),
        residues=np.zeros((count, block_tokens), np.int32),
        due_key=due_key,
        due_row=due_row,
        route_key=route_key,
        route_row=route_row,
        scratch_s=np.zeros(count),
    )


def doubled(rows: Rows) -> Rows:
    """Twice as many rows, with what the first half has."""
    count = len(rows.state)
    due_key, due_row = tournament(np.concatenate([rows.due_key[count:], np.full(count, NEVER)]))
    route_key, route_row = tournament(np.concatenate([rows.route_key[count:], np.full(count, UNROUTABLE)]))
    return Rows(
        state=np.concatenate([rows.state, np.zeros(count, ROW)]),
        finishing=np.concatenate([rows.finishing, rows.finishing]),
        prompts=np.concatenate([rows.prompts, rows.prompts]),
        residues=np.concatenate([rows.residues, rows.residues]),
        due_key=due_key,
        due_row=due_row,
        route_key=route_key,
        route_row=route_row,
        scratch_s=np.zeros(2 * count),
    )
