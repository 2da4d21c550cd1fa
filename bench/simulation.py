"""How many requests a second the simulation replays, beside other ways to simulate a fleet, in one run.

    .venv/bin/python bench/simulation.py [--json] [--long] [--traces ../shared/traces]

Azure's conversation trace of 2023 (19,366 requests, an hour), 50 times on end so that the measure is steady, and once;
4 engines (and 256), batches of 64, iteration by iteration. One process, one core; seconds of the wall and of the
processor, the best of 5; compiling is left out and given apart. Without the traces: requests drawn at random, said so.

Peers: SimPy and a plain heap with fixed service times (slots only, no iterations), and the slow reference of the tests,
iteration by iteration. vidur, splitwise-sim and LLMServingSim are repositories, not packages, and are not run here.

`--long`: 14 days of ServeGen's m-large at a tenth of its rate, some 24 million requests, with the article's scaling.
"""

from __future__ import annotations

import argparse
import heapq
import importlib.util
import json
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ferry.simulation.autoscaler import compile_spec
from ferry.simulation.engine import simulate
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.policies import Sizes, article
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.workload import Workload
from ferry.traces import open_trace

TIMES = 50
RUNS = 5
PEER_REQUESTS = 100_000
REFERENCE_REQUESTS = 1_500
# About what splitwise-sim measured of Llama2-70B on eight H100: 29 ms at batch 1, 50 ms at 64; 0.06 ms a prompt token.
REPLICA = ReplicaSettings(
    iteration_time=IterationTime(
        fixed=2e-3, weights=26e-3, per_token=6e-5, per_sequence=2.5e-4, per_cached_token=1e-7, per_attention_pair=1e-9
    ),
    max_sequences=64,
    max_batched_tokens=2048,
    kv_blocks=90_000,
)


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--long", action="store_true", help="also the 14 days")
    parser.add_argument("--traces", type=Path, default=Path(__file__).parents[2] / "shared/traces")
    options = parser.parse_args()
    conversations = options.traces / "azure2023/AzureLLMInferenceTrace_conv.csv"
    if conversations.exists():
        with open_trace(conversations) as opened:
            single, trace = Workload(**opened.arrays()._asdict()), "Azure conversation trace of 2023"
    else:
        single, trace = drawn(19_366), f"requests drawn at random, since {conversations} is not there"
    many = on_end(single, TIMES)

    started = time.process_time()
    simulate(single, REPLICA, FleetSettings(initial_instances=4))
    compile_s = time.process_time() - started
    ours = measure(lambda: simulate(many, REPLICA, FleetSettings(initial_instances=4)), len(many), RUNS)
    rows = {
        "ferry, 4 engines": ours,
        "ferry, 4 engines, the trace once": measure(
            lambda: simulate(single, REPLICA, FleetSettings(initial_instances=4)), len(single), RUNS
        ),
        "ferry, 256 engines": measure(
            lambda: simulate(many, REPLICA, FleetSettings(initial_instances=256)), len(many), RUNS
        ),
    }
    some = Workload(
        arrival_s=many.arrival_s[:PEER_REQUESTS],
        input_tokens=many.input_tokens[:PEER_REQUESTS],
        output_tokens=many.output_tokens[:PEER_REQUESTS],
    )
    rows["plain Python heap, slots only"] = measure(lambda: heap_of_slots(some, 4 * 64, 8.0), len(some), 2)
    absent = {}
    if importlib.util.find_spec("simpy"):
        rows["SimPy, slots only"] = measure(lambda: simpy_slots(some, 4 * 64, 8.0), len(some), 1)
    else:
        absent["SimPy"] = "not installed here; `pip install simpy` adds it"
    if importlib.util.find_spec("tests"):
        rows["slow reference, iterations"] = measure(lambda: slow_reference(single), REFERENCE_REQUESTS, 1)
    else:
        absent["slow reference"] = "the tests are not beside this file"
    absent["vidur, splitwise-sim, LLMServingSim"] = "repositories, not packages"

    result: dict[str, Any] = {
        "requests_per_second": ours["requests_per_second"],
        "trace": trace,
        "requests": len(many),
        "first_call_cpu_s": compile_s,
        "processor": platform.processor() or platform.machine(),
        "rows": rows,
        "not_measured": absent,
    }
    if options.long:
        result["long"] = long_run(options.traces, single)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{trace}; the first call (compiling, unless cached) took {compile_s:.1f} s of the processor")
    print(f"{'requests/s':34} {'wall':>12} {'processor':>12}")
    for name, row in rows.items():
        print(f"{name:34} {row['requests_per_second']:12,.0f} {row['requests_per_cpu_second']:12,.0f}")
    for name, reason in absent.items():
        print(f"{name}: not measured, {reason}")
    if options.long:
        print("14 days: " + ", ".join(f"{name} {value}" for name, value in result["long"].items()))


def measure(call: Callable[[], object], requests: int, runs: int) -> dict[str, float]:
    """Requests a second of the best run, by the wall's clock and by the processor's."""
    wall, cpu = [], []
    for _ in range(runs):
        started, cpu_started = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - cpu_started)
    return {"requests_per_second": requests / min(wall), "requests_per_cpu_second": requests / min(cpu)}


def on_end(workload: Workload, times: int) -> Workload:
    """The trace `times` times, one after the other."""
    length = workload.arrival_s[-1] + 1.0
    return Workload(
        arrival_s=(workload.arrival_s + length * np.arange(times)[:, None]).ravel(),
        input_tokens=np.tile(workload.input_tokens, times),
        output_tokens=np.tile(workload.output_tokens, times),
    )


def drawn(count: int) -> Workload:
    """5.5 requests a second, lengths about as in the trace."""
    random = np.random.default_rng(0)
    return Workload(
        arrival_s=np.cumsum(random.exponential(1 / 5.5, count)),
        input_tokens=np.clip(random.lognormal(6.6, 1.0, count), 1, 14_000).astype(np.int32),
        output_tokens=np.clip(random.lognormal(5.0, 0.8, count), 1, 1_000).astype(np.int32),
    )


def heap_of_slots(workload: Workload, slots: int, service_s: float) -> float:
    """A queue before `slots` servers of a fixed service time; returns the mean time in the system."""
    free = [0.0] * slots
    total = 0.0
    for arrival in workload.arrival_s.tolist():
        end = max(arrival, free[0]) + service_s
        heapq.heapreplace(free, end)
        total += end - arrival
    return total / len(workload)


def simpy_slots(workload: Workload, slots: int, service_s: float) -> float:
    """The same with SimPy."""
    import simpy

    environment = simpy.Environment()
    servers = simpy.Resource(environment, capacity=slots)
    total = 0.0

    def serve(arrival: float) -> Any:
        nonlocal total
        with servers.request() as request:
            yield request
            yield environment.timeout(service_s)
        total += environment.now - arrival

    def arrive() -> Any:
        for arrival in workload.arrival_s.tolist():
            yield environment.timeout(arrival - environment.now)
            environment.process(serve(arrival))

    environment.process(arrive())
    environment.run()
    return total / len(workload)


def slow_reference(workload: Workload) -> None:
    """The tests' own simulation, of the first requests."""
    from tests import simulation_reference as reference

    settings = asdict(REPLICA)
    coefficients = settings.pop("iteration_time")
    reference.simulate(
        workload.arrival_s[:REFERENCE_REQUESTS],
        workload.input_tokens[:REFERENCE_REQUESTS],
        workload.output_tokens[:REFERENCE_REQUESTS],
        engine=reference.Engine(**settings),
        time=reference.IterationTime(**coefficients),
        fleet=reference.Fleet(initial_instances=4),
    )


def long_run(traces: Path, lengths: Workload) -> dict[str, Any]:
    """14 days of m-large at a tenth of its rate; lengths are drawn from `lengths`, arrivals Poisson in 10 minutes."""
    rates = traces / "servegen/rates_10min.csv"
    if not rates.exists():
        return {"skipped": f"{rates} is not there"}
    per_second = np.genfromtxt(rates, delimiter=",", names=True)["mlarge"] * 0.1
    random = np.random.default_rng(0)
    counts = random.poisson(per_second * 600)
    arrival = np.repeat(600.0 * np.arange(len(counts)), counts)
    arrival += random.uniform(0, 600, len(arrival))
    arrival.sort()
    chosen = random.integers(0, len(lengths), len(arrival), dtype=np.int32)
    workload = Workload(
        arrival_s=arrival, input_tokens=lengths.input_tokens[chosen], output_tokens=lengths.output_tokens[chosen]
    )
    del chosen
    policy = compile_spec(article(Sizes(min_size=2, max_size=64, initial=8)))
    fleet = FleetSettings(initial_instances=policy.initial_instances, start_s=240.0)
    started, cpu_started = time.perf_counter(), time.process_time()
    result = simulate(workload, REPLICA, fleet, policy)
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    return {
        "requests": len(workload),
        "wall_s": round(wall_s, 1),
        "cpu_s": round(cpu_s, 1),
        "peak_rss_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "iterations": result.iterations,
        "most_instances": int(result.periods.in_service.max()),
        "launches": len(result.instances.launched_s),
        "utilisation": round(result.utilisation, 3),
        "p99_ttft_s": round(float(np.percentile(result.ttft_s, 99)), 3),
    }


if __name__ == "__main__":
    main()
