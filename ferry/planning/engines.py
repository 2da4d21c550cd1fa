"""The engines: which of them a stack's nodes start, and which weights they run on which accelerators."""

from __future__ import annotations

from dataclasses import dataclass

from ferry.artefacts import ModelFacts
from ferry.catalog.accelerators import Accelerator

INSTEAD = "vllm"
"""What a plan starts where the site's engine has no component: it serves the same OpenAI-compatible API."""


@dataclass(frozen=True)
class Engine:
    """An engine that nodes start. `quantizations` maps what it loads to the least compute capability that runs it."""

    name: str
    image: str
    quantizations: dict[str, float]
    source: str


# Turing is 7.5, Ampere 8.0 and 8.6, Ada 8.9, Hopper 9.0, Blackwell 10.0. FP8 below 8.9 is weight-only (Marlin).
ENGINES = {
    "vllm": Engine(
        name="vllm",
        image="vllm-openai:v0.33.0",
        quantizations={
            "fp8": 7.5,
            "awq": 7.5,
            "gptq": 7.5,
            "bitsandbytes": 7.5,
            "gguf": 7.5,
            "mxfp4": 7.5,
            "nvfp4": 7.5,
            "compressed-tensors": 7.5,
            "modelopt": 7.5,
        },
        source="docs.vllm.ai: quantization, supported hardware; FP8 W8A8",
    ),
    "sglang": Engine(
        name="sglang",
        image="sglang:v0.5.16",
        quantizations={"fp8": 8.0, "awq": 8.0, "gptq": 8.0, "mxfp4": 9.0},
        source="docs.sglang.io: quantization; its kernels are built for compute capability 8.0 and newer",
    ),
}


def planned(engine: str) -> Engine:
    """The engine that a plan starts for a site's: its own where nodes can start it, else `INSTEAD`."""
    return ENGINES.get(engine, ENGINES[INSTEAD])


def cannot_run(engine: Engine, model: ModelFacts, accelerator: Accelerator) -> str | None:
    """Why the engine does not run the model on the accelerator; None where nothing speaks against it.

    A quantisation that is not in the engine's table is no refusal: the verdict asks for proof of it.
    """
    if (model.dtype == "bfloat16" or in_fp8(model)) and not accelerator.has_bfloat16:
        return (
            f"{accelerator.name} (compute capability {accelerator.compute_capability}) has no bfloat16, in which the "
            f"model {'computes' if in_fp8(model) else 'is'}; running it in float16 changes its answers"
        )
    least = engine.quantizations.get(model.quantization or "")
    if least is not None and accelerator.compute_capability < least:
        return (
            f"{engine.name} runs {model.quantization} weights from compute capability {least} on, {accelerator.name} "
            f"has {accelerator.compute_capability}"
        )
    return None


def in_fp8(model: ModelFacts) -> bool:
    """Whether the weights are stored in FP8, by whatever method."""
    return "fp8" in (model.dtype, model.quantization)


def knows(engine: Engine, model: ModelFacts) -> bool:
    """Whether the engine's documentation names the model's quantisation."""
    return model.quantization is None or model.quantization in engine.quantizations
