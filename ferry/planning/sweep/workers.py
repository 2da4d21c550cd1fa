"""Many replays at once: processes of this machine, or those of a Dask cluster, through joblib either way."""

from __future__ import annotations

import importlib
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor

from ferry.errors import InvalidField, PlanError
from ferry.planning.sweep.replaying import Arrays, Measured, Task, replay_all, warm_up

BATCH = 8
"""Tasks that a worker gets at once: long enough beside a millisecond of sending, short beside a round's end."""
SHARED_FROM_BYTES = 1024
"""Arrays larger than this are mapped from one file, not sent to each worker."""
CONNECT_S = 10

Replay = Callable[[Sequence[Task]], Iterator[Measured]]


@contextmanager
def workers(arrays: Arrays, *, count: int | None = None, dask: str | None = None) -> Iterator[Replay]:
    """A function that replays tasks, in their order: `count` processes (None: a core each), or a cluster's at `dask`.

    Raises PlanError when there is no such cluster, and InvalidField for a count that makes no sense.
    """
    if count is not None and count < 1:
        raise InvalidField(f"workers: {count} was given; allowed is 1 or more")
    if dask is not None:
        if count is not None:
            raise InvalidField(
                f"workers: {count} was given together with a Dask cluster, which has its own; leave it out"
            )
        with _cluster(dask) as client, parallel_config("dask", client=client, scatter=_present(arrays)):
            yield from _run(Parallel(n_jobs=-1, return_as="generator", batch_size=1), arrays)
        return
    warm_up()
    jobs = -1 if count is None else count
    is_done = False
    options: dict[str, Any] = {"max_nbytes": SHARED_FROM_BYTES, "mmap_mode": "c", "initializer": _ignore_interrupts}
    try:
        yield from _run(Parallel(n_jobs=jobs, return_as="generator", batch_size=1, backend="loky", **options), arrays)
        is_done = True
    finally:
        # Nobody comes back to them: not after the last result, and not after an interrupt.
        get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=not is_done)


def _run(parallel: Parallel, arrays: Arrays) -> Iterator[Replay]:
    with parallel:

        def replay(tasks: Sequence[Task]) -> Iterator[Measured]:
            batches = [tasks[first : first + BATCH] for first in range(0, len(tasks), BATCH)]
            for measured in parallel(delayed(_replay)(*arrays, batch) for batch in batches):
                yield from measured

        yield replay


def _replay(arrival: Any, inputs: Any, outputs: Any, cached: Any, tasks: Sequence[Task]) -> list[Measured]:
    """Arrays as arguments of their own, so that joblib and Dask see and share them."""
    return replay_all((arrival, inputs, outputs, cached), tasks)


def _present(arrays: Arrays) -> list[Any]:
    return [array for array in arrays if array is not None]


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise PlanError("a Dask cluster needs the package distributed: pip install ferry[dask]") from error
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise PlanError(f"no Dask scheduler answers at {address}: {error}; start one with dask scheduler") from error
    with client:
        # Each compiles once, before the tasks come, or reads it from its cache.
        client.run(warm_up)
        yield client


def _ignore_interrupts() -> None:
    """A Ctrl-C reaches the whole group; the process that started the workers stops them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
