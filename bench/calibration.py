"""How well the simulation predicts a real engine: fitted to a run's first half, and from hardware figures alone.

    .venv/bin/python bench/calibration.py [--run FOLDER] [--config config.json] [--json]

FOLDER holds a measured run: `meta.json` (model and engine settings), `cluster.json` (hardware), `requests.jsonl`.
With a model or an accelerator that is not known here, only what is fitted is shown. At low load, where that run has
little to say, single prompts and batches of Llama2-70B are compared (splitwise-sim's `perf_model.csv`): fitted to some
batch and prompt sizes, predicting the others.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import defaultdict
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from ferry.artefacts import ModelFacts, assumed
from ferry.assess.models import read_model
from ferry.catalog import accelerators, table
from ferry.catalog.instance_types import InstanceType
from ferry.planning.engines import ENGINES
from ferry.planning.iteration_time import iteration_time
from ferry.planning.memory import Misfit, fit
from ferry.planning.roofline import Roofline, Tokens
from ferry.simulation.calibration import calibrate, calibrate_with_unknown_cache, errors_without_fit
from ferry.simulation.calibration_errors import CalibrationError
from ferry.simulation.calibration_start import start_from
from ferry.simulation.engine import simulate
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.measured_requests import MeasuredRequests, read_vllm_requests
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.workload import Workload

TRACES = Path(__file__).parents[2] / "shared" / "traces"
OUTPUT_TOKENS = 128
UNLIMITED_BLOCKS = 10**7
UNUSED = Tokens(input_mean=1, input_p99=1, output_mean=1, output_p99=1)

# From each model's public config.json: parameters, active parameters, layers, hidden size, heads, KV heads, head size,
# vocabulary, experts in all and in use.
MODELS = {
    "meta-llama/Llama-3.1-8B": (8.03e9, 8.03e9, 32, 4096, 32, 8, 128, 128256, None, None),
    "meta-llama/Llama-3.1-70B": (70.55e9, 70.55e9, 80, 8192, 64, 8, 128, 128256, None, None),
    "Qwen/Qwen3-8B": (8.19e9, 8.19e9, 36, 4096, 32, 8, 128, 151936, None, None),
    "Qwen/Qwen3-14B": (14.77e9, 14.77e9, 40, 5120, 40, 8, 128, 151936, None, None),
    "Qwen/Qwen3-32B": (32.76e9, 32.76e9, 64, 5120, 64, 8, 128, 151936, None, None),
    "Qwen/Qwen3-30B-A3B": (30.53e9, 3.35e9, 48, 2048, 32, 4, 128, 151936, 128, 8),
    "llama2-70b": (68.98e9, 68.98e9, 80, 8192, 64, 8, 128, 32000, None, None),
}


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=TRACES / "vllm-measured" / "rtxpro6000-llama-3.1-8b")
    parser.add_argument("--config", type=Path, help="config.json of the run's model, where MODELS does not have it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for path in (options.run, TRACES / "splitwise-sim"):
        if not path.is_dir():
            print(f"{path}: not on this machine; calibration is left out")
            return
    run = measured_run(options.run, options.config)
    low_load = batches(TRACES / "splitwise-sim" / "perf_model.csv")
    if options.json:
        print(json.dumps({"run": run, "low_load": low_load}, indent=2))
        return
    print(f"{options.run.name}: fitted in {run['seconds']:.1f} s: {run['iteration_time']}")
    print(f"{'':12} {'':8} {'':5} {'measured':>9} {'predicted':>9} {'error':>7}")
    for row in [*run["hardware_alone"], *run["calibrated"]]:
        part = f"{row['part']:12} {row['metric']:8} {row['figure']:5}"
        print(f"{part} {row['measured_s']:9.4f} {row['predicted_s']:9.4f} {row['relative']:+7.1%}")
    for caution in run["cautions"]:
        print(f"caution: {caution}")
    print("\nLlama2-70B, mean and largest error: TTFT, time a token")
    for row in low_load:
        errors = "   ".join(f"{row[name]['mean']:5.1%} {row[name]['largest']:+6.1%}" for name in ("ttft", "tpot"))
        print(f"{row['accelerator']:10} x {row['tensor_parallel']} {row['coefficients']:14} {row['sizes']:9} {errors}")


def measured_run(folder: Path, config: Path | None) -> dict[str, Any]:
    """Errors of one recorded run, from hardware figures alone and fitted to the first half of its requests."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    settings = meta["engine_kwargs"]
    instance = json.loads((folder / "cluster.json").read_text(encoding="utf-8"))["nodes"][0]["instances"][0]
    measured = read_vllm_requests(folder / "requests.jsonl")
    replica = ReplicaSettings(
        iteration_time=start_from(measured),
        max_sequences=settings["max_num_seqs"],
        max_batched_tokens=settings["max_num_batched_tokens"],
        kv_blocks=UNLIMITED_BLOCKS,
        lookahead_iterations=int(tuple(map(int, meta["vllm_version"].split(".")[:2])) >= (0, 14)),
    )
    alone: tuple[CalibrationError, ...] = ()
    notes = []
    try:
        model = read_model(config.parent, str(config.parent)).facts if config else facts(settings["model"])
        box = hardware(instance)
    except LookupError as error:
        notes.append(f"{error.args[0]}; the fit starts from a guess, and the KV cache is not limited")
    else:
        roofline = Roofline(model, box, settings["tensor_parallel_size"], UNUSED)
        placed = fit(model, ENGINES["vllm"], box, max_model_tokens=1)
        if isinstance(placed, Misfit):
            raise SystemExit(placed.reason)
        replica = replace(
            replica,
            iteration_time=iteration_time(roofline, replica.max_sequences),
            kv_blocks=placed.kv_tokens // replica.block_tokens,
        )
        alone = errors_without_fit(measured, replica)
    started = time.perf_counter()
    calibration = calibrate_with_unknown_cache(measured, replica)
    return {
        "seconds": time.perf_counter() - started,
        "iteration_time": asdict(calibration.iteration_time),
        "kv_blocks": calibration.kv_blocks,
        "kv_blocks_estimated": replica.kv_blocks,
        "start": asdict(replica.iteration_time),
        "hardware_alone": [row(error) | {"part": "hardware"} for error in alone],
        "calibrated": [row(error) for error in calibration.errors],
        "cautions": [*notes, *calibration.cautions],
    }


def row(error: CalibrationError) -> dict[str, Any]:
    """For JSON."""
    return asdict(error) | {"relative": error.relative, "tolerated": error.tolerated, "is_within": error.is_within}


def batches(path: Path) -> list[dict[str, Any]]:
    """Errors on prompts and batches that ran alone: fitted to every other size, and from hardware figures alone."""
    rows = []
    for (name, width), points in measured_batches(path).items():
        accelerator = {"a100-80gb": "A100-80GB", "h100-80gb": "H100"}[name]
        box = {"hardware": accelerator, "npu_mem": {}, "num_npus": width}
        hardware_alone = iteration_time(Roofline(facts("llama2-70b"), hardware(box), width, UNUSED), 1)
        measured, size = requests_of(points)
        fitted = np.isin(size, [index for index, point in enumerate(points) if is_fitted(*point[:2])])
        replica = ReplicaSettings(
            iteration_time=hardware_alone,
            max_sequences=64,
            max_batched_tokens=64 * 1024,  # the whole batch's prompts at once, as that engine of 2023 took them
            kv_blocks=UNLIMITED_BLOCKS,
            lookahead_iterations=0,
        )
        calibrated = calibrate(measured, replica, fitted=fitted).iteration_time
        for coefficients, found in (("hardware alone", hardware_alone), ("fitted", calibrated)):
            for sizes, part in (("fitted", fitted), ("held out", ~fitted)):
                rows.append(
                    {"accelerator": accelerator, "tensor_parallel": width, "coefficients": coefficients, "sizes": sizes}
                    | batch_errors(measured, replace(replica, iteration_time=found), part)
                )
    return rows


def is_fitted(prompt: int, batch: int) -> bool:
    """Every other prompt and batch size."""
    return prompt in {128, 512, 2048, 8192} and batch in {1, 4, 16, 64}


def measured_batches(path: Path) -> dict[tuple[str, int], list[tuple[int, int, float, float]]]:
    """By hardware and parallelism: prompt size, batch size, mean seconds of the prompt and of a token after it.

    Of 128 tokens each, at full power. A batch whose prompts take no longer than half as many did not fit, and is left
    out.
    """
    times: dict[tuple[str, int], dict[tuple[int, int], list[tuple[float, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    with path.open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if (
                line["model"] == "llama2-70b"
                and int(line["token_size"]) == OUTPUT_TOKENS
                and "pcap" not in line["hardware"]
            ):
                sizes = int(line["prompt_size"]), int(line["batch_size"])
                seconds = float(line["prompt_time"]) / 1e3, float(line["token_time"]) / 1e3
                times[line["hardware"], int(line["tensor_parallel"])][sizes].append(seconds)
    found = {}
    for key, by_size in times.items():
        mean = {sizes: np.mean(seconds, axis=0).tolist() for sizes, seconds in sorted(by_size.items())}
        found[key] = [
            (prompt, batch, *seconds)
            for (prompt, batch), seconds in mean.items()
            if batch == 1 or seconds[0] > mean[prompt, batch // 2][0]
        ]
    return found


def requests_of(points: list[tuple[int, int, float, float]]) -> tuple[MeasuredRequests, np.ndarray]:
    """Each batch as requests that come together, long after those before; and to which point each request belongs."""
    point = np.repeat(np.arange(len(points)), [batch for _, batch, _, _ in points])
    prompt, _, first, token = np.array(points).T[:, point]
    arrival = 1000.0 * point.astype(np.float64)
    workload = Workload(arrival_s=arrival, input_tokens=prompt, output_tokens=np.full(len(point), OUTPUT_TOKENS))
    last = arrival + first + (OUTPUT_TOKENS - 1) * token
    return MeasuredRequests(workload=workload, first_token_s=arrival + first, last_token_s=last), point


def batch_errors(measured: MeasuredRequests, replica: ReplicaSettings, part: np.ndarray) -> dict[str, Any]:
    """Mean and largest relative error over batches."""
    got = simulate(measured.workload, replica, FleetSettings(initial_instances=1))
    wanted = measured.serving_times()
    alone = np.unique(measured.workload.arrival_s[part], return_index=True)[1]
    found: dict[str, Any] = {"batches": len(alone)}
    for name, predicted, true in (("ttft", got.ttft_s, wanted.ttft_s), ("tpot", got.tpot_s, wanted.tpot_s)):
        errors = (predicted / true - 1)[part][alone]
        found[name] = {"mean": float(np.abs(errors).mean()), "largest": float(errors[np.abs(errors).argmax()])}
    return found


def facts(name: str) -> ModelFacts:
    """A model of MODELS, in 16 bit."""
    try:
        total, active, layers, hidden, heads, kv_heads, head, vocabulary, experts, used = MODELS[name]
    except KeyError:
        raise LookupError(f"{name}: not one of {', '.join(MODELS)}; give its config.json with --config") from None
    return ModelFacts(
        path=name,
        architecture="",
        parameters=assumed(total, "parameters", "config.json"),
        active_parameters=assumed(active, "parameters", "config.json"),
        weight_bytes=assumed(2 * total, "bytes", "config.json"),
        dtype="bfloat16",
        quantization=None,
        attention="MHA" if kv_heads == heads else "GQA",
        layers=layers,
        hidden_size=hidden,
        attention_heads=heads,
        kv_heads=kv_heads,
        head_dim=head,
        experts_total=experts,
        experts_active=used,
        context_tokens=8192,
        vocabulary=vocabulary,
    )


def hardware(instance: dict[str, Any]) -> InstanceType:
    """A server of a `cluster.json`: the catalogue's accelerator, with the memory that the file states."""
    wanted = "".join(filter(str.isalnum, instance["hardware"])).casefold()
    names = [row["accelerator"] for row in table.rows("accelerators")]
    known = {"".join(filter(str.isalnum, name)).casefold(): name for name in names}
    if wanted not in known:
        raise LookupError(f"{instance['hardware']}: not in ferry/catalog/accelerators.csv ({', '.join(names)})")
    accelerator, memory = accelerators.find(known[wanted]), instance["npu_mem"]
    stated = replace(accelerator, memory_bandwidth_gb_s=float(memory.get("mem_bw", accelerator.memory_bandwidth_gb_s)))
    return InstanceType(
        name=instance["hardware"],
        vcpus=1,
        memory_gib=1,
        accelerator=stated,
        accelerators=int(instance["num_npus"]),
        accelerator_memory_gib=float(memory.get("mem_size", accelerator.memory_gb)),
        network_mbps=0,
        efa_interfaces=0,
        local_nvme_gb=0,
        as_of=date(2026, 11, 24),
        source="cluster.json",
    )


if __name__ == "__main__":
    main()
