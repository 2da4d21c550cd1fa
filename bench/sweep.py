"""How long a sweep takes: one hour of the Azure conversation trace, on one and on two workers, joblib's and Dask's.

    .venv/bin/python bench/sweep.py [--trace FILE] [--candidates 10000] [--json]

First the search itself, with as many candidates as asked for at least: each is replayed or ruled out. Then a fixed
number of replays on one worker and on two, in turn, so that a drift of the machine meets all of them; the workers have
been started and have loaded the compiled simulation before the clock runs.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ferry.artefacts import ModelFacts, Quantiles, Serving, Slo, TraceFacts, measured
from ferry.catalog import regions
from ferry.planning.demand import demand
from ferry.planning.replay.requests import read_requests
from ferry.planning.sweep.grid import Grid
from ferry.planning.sweep.replaying import Task, arrays_of
from ferry.planning.sweep.search import search
from ferry.planning.sweep.space import Engine, Point, Space
from ferry.planning.sweep.workers import Replay, workers
from ferry.simulation.workload import Workload

TRACE = Path(__file__).parents[2] / "shared" / "traces" / "azure2023" / "AzureLLMInferenceTrace_conv.csv"
REGIONS = ("us-east-1", "us-east-2", "us-west-2", "eu-central-1", "ap-northeast-1")
SLO = Slo(ttft_p99_ms=2000, tpot_p99_ms=100)


def main() -> None:
    """Measure and print, or print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path, default=TRACE)
    parser.add_argument("--candidates", type=int, default=10_000)
    parser.add_argument("--replays", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    requests = read_requests(options.trace, None, "UTC")
    workload = requests.workload
    count, space = _space(workload, options.candidates)
    load_before = os.getloadavg()[0]
    result = {
        "trace": options.trace.name,
        "requests": len(workload),
        "search": _search(space, workload, count),
        "scaling": _scaling(space, workload, options.replays, options.rounds),
        "load_average": [load_before, os.getloadavg()[0]],
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    found = result["search"]
    print(f"{found['candidates']} candidates on 2 workers: {found['seconds']:.1f} s; {found['replayed']} replayed, ")
    print(f"  {found['shared']} differ from one of these in price only, ruled out: {found['bounds']}")
    for name, row in result["scaling"].items():
        print(f"{name:8} 1 worker {row['one']:.2f} s, 2 workers {row['two']:.2f} s: {row['speedup']:.2f} x")
    print(f"load average before and after: {load_before:.1f}, {result['load_average'][1]:.1f}")


def _search(space: Space, workload: Workload, candidates: int) -> dict[str, Any]:
    started = time.perf_counter()
    with workers(arrays_of(workload), count=2) as replay:
        found = search(space, workload, SLO, "cost", replay)
    seconds = time.perf_counter() - started
    bounds: dict[str, int] = {}
    for one in found.ruled_out:
        bounds[one.bound] = bounds.get(one.bound, 0) + one.count
    if found.candidates < candidates:
        raise SystemExit(f"only {found.candidates} candidates; the grid has to grow")
    return {
        "seconds": seconds,
        "candidates": found.candidates,
        "replayed": sum(not one.is_shared for one in found.answers),
        "shared": sum(one.is_shared for one in found.answers),
        "holding": sum(one.holds for one in found.answers),
        "bounds": bounds,
    }


def _scaling(space: Space, workload: Workload, replays: int, rounds: int) -> dict[str, dict[str, float]]:
    tasks = _tasks(space, replays)
    rows = {"joblib": _compare(tasks, workload, rounds, dask=False)}
    rows["dask"] = _compare(tasks, workload, rounds, dask=True)
    return rows


def _compare(tasks: list[Task], workload: Workload, rounds: int, *, dask: bool) -> dict[str, float]:
    best: dict[int, float] = {}
    for _ in range(rounds):
        for count in (1, 2):
            with ExitStack() as open_:
                replay = _workers(open_, workload, count, dask=dask)
                list(replay(tasks[:32]))
                started = time.perf_counter()
                list(replay(tasks))
                seconds = time.perf_counter() - started
                best[count] = min(seconds, best.get(count, seconds))
    return {"one": best[1], "two": best[2], "speedup": best[1] / best[2]}


def _workers(open_: ExitStack, workload: Workload, count: int, *, dask: bool) -> Replay:
    address = None
    if dask:
        from distributed import LocalCluster

        cluster = LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=count, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, processes=True
        )
        address = open_.enter_context(cluster).scheduler_address
    return open_.enter_context(workers(arrays_of(workload), count=None if dask else count, dask=address))


def _tasks(space: Space, count: int) -> list[Task]:
    """Every n-th of the distinct replays, so that small and large fleets are among them."""
    engines = [engine for engine in space.engines() if isinstance(engine, Engine)]
    points = [point for engine in engines for point in space.points(engine) if isinstance(point, Point)]
    distinct = list(dict.fromkeys(space.task(point) for point in points))
    return distinct[:: max(1, len(distinct) // count)][:count]


def _space(workload: Workload, candidates: int) -> tuple[int, Space]:
    """Llama-3-8B in as many regions as it takes."""
    inputs, outputs = (_quantiles(values) for values in (workload.input_tokens, workload.output_tokens))
    seconds = float(workload.arrival_s[-1])
    rate = len(workload) / seconds
    trace = TraceFacts(
        file="trace.csv",
        format="azure-llm-2023",
        requests=len(workload),
        duration_s=seconds,
        mean_rps=measured(rate, "requests/s", "the trace"),
        peak_rps=measured(1.5 * rate, "requests/s", "the trace"),
        input_tokens=inputs,
        output_tokens=outputs,
    )
    serving = Serving(name="chat", engine="vllm", model=_llama(), trace=trace, metrics=None, slo=SLO)
    for count in range(1, len(REGIONS) + 1):
        space = Space(
            serving=serving,
            demand=demand(serving),
            grid=Grid(),
            places=[regions.find(name) for name in REGIONS[:count]],
            time_zone="UTC",
            started_at=datetime(2023, 11, 16, tzinfo=UTC),
            seed=0,
        )
        if _size(space) >= candidates:
            break
    return candidates, space


def _size(space: Space) -> int:
    found = 0
    for engine in space.engines():
        if isinstance(engine, Engine):
            found += sum(1 if isinstance(one, Point) else one.count for one in space.points(engine))
        else:
            found += engine.count
    return found


def _quantiles(values: Any) -> Quantiles:
    import numpy as np

    figures = {"mean": float(values.mean())} | {
        f"p{share}": float(np.quantile(values, share / 100)) for share in (50, 95, 99)
    }
    return Quantiles(**{name: measured(value, "tokens", "the trace") for name, value in figures.items()})


def _llama() -> ModelFacts:
    return ModelFacts(
        path="llama-3-8b",
        architecture="LlamaForCausalLM",
        parameters=measured(8.03e9, "", "config.json"),
        active_parameters=measured(8.03e9, "", "config.json"),
        weight_bytes=measured(16_060_522_496, "B", "safetensors index"),
        dtype="bfloat16",
        quantization=None,
        attention="GQA",
        layers=32,
        hidden_size=4096,
        attention_heads=32,
        kv_heads=8,
        head_dim=128,
        context_tokens=8192,
        vocabulary=128_256,
    )


if __name__ == "__main__":
    main()
