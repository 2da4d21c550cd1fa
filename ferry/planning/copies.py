"""Quantised copies of a model: what one would weigh. Its answers are its own, and have to be evaluated."""

from __future__ import annotations

from ferry.artefacts import ModelFacts, assumed
from ferry.errors import PlanError
from ferry.planning.engines import in_fp8

QUANTIZATIONS = ("fp8", "awq")

_BYTES_PER_PARAMETER = {
    "fp8": 1.0,
    # 4 bit, and for each group of 128 a scale of 16 and a zero point of 4 bit (arXiv 2306.00978; AutoAWQ's default).
    "awq": 0.5 + (2 + 0.5) / 128,
}
_COMPUTES_IN = {"fp8": "bfloat16", "awq": "float16"}
_FEWER_BITS_THAN = {"fp8": (None,), "awq": (None, "fp8")}


def quantised(model: ModelFacts, quantization: str) -> ModelFacts:
    """The model's facts after quantising its linear layers; embedding and output layer stay in 16 bit.

    Raises PlanError for an unknown quantisation, for a model that has no more bits than the copy would, and for one of
    unknown size.
    """
    if quantization not in QUANTIZATIONS:
        raise PlanError(f"quantization {quantization!r} is unknown; allowed are {', '.join(QUANTIZATIONS)}")
    if ("fp8" if in_fp8(model) else model.quantization) not in _FEWER_BITS_THAN[quantization]:
        raise PlanError(f"{model.path}: is quantised already ({model.quantization}); plan it as it is")
    if model.parameters.value is None:
        raise PlanError(f"{model.path}: the number of parameters is unknown, so is the size of a {quantization} copy")
    # Counted twice, also where both are one tensor: engines keep them apart when the model is split.
    kept = min(model.parameters.value, 2.0 * model.vocabulary * model.hidden_size)
    size = (model.parameters.value - kept) * _BYTES_PER_PARAMETER[quantization] + kept * 2
    return model.model_copy(
        update={
            "path": f"{model.path}-{quantization}",
            "quantization": quantization,
            "dtype": _COMPUTES_IN[quantization],
            "weight_bytes": assumed(round(size), "B", f"a {quantization} copy of {model.path}, embeddings in 16 bit"),
        }
    )
