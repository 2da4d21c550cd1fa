"""What has to be served: rates and lengths, from the trace, or from stated assumptions where there is none."""

from __future__ import annotations

from dataclasses import dataclass

from ferry.artefacts import Quantiles, Serving
from ferry.planning.roofline import Tokens

# Without a trace: the means of the Azure conversation trace of 2023 (AzurePublicDataset), rounded, at one request/s.
_TOKENS = Tokens(input_mean=1200, input_p99=4100, output_mean=210, output_p99=600)
_RATE = 1.0

LEAST_MODEL_TOKENS = 8192


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Rates in requests/s. `max_model_tokens` is the longest sequence that the engine accepts."""

    tokens: Tokens
    mean_rps: float
    peak_rps: float
    max_model_tokens: int
    assumptions: tuple[str, ...]


def demand(serving: Serving) -> Demand:
    """The demand of one service."""
    trace = serving.trace
    said: list[str] = []
    if trace is None:
        said.append(
            f"no request trace: {_RATE:g} request/s of {_TOKENS.input_mean:g} tokens in and {_TOKENS.output_mean:g} out"
        )
        tokens, mean, peak = _TOKENS, _RATE, _RATE
    else:
        tokens = Tokens(
            input_mean=_value(trace.input_tokens, "mean", _TOKENS.input_mean),
            input_p99=_value(trace.input_tokens, "p99", _TOKENS.input_p99),
            output_mean=_value(trace.output_tokens, "mean", _TOKENS.output_mean),
            output_p99=_value(trace.output_tokens, "p99", _TOKENS.output_p99),
        )
        mean = _RATE if trace.mean_rps.value is None else trace.mean_rps.value
        peak = mean if trace.peak_rps.value is None else trace.peak_rps.value
        if trace.mean_rps.value is None:
            said.append(f"{trace.file} tells no rate: {_RATE:g} request/s")
        for name, quantiles, instead in (
            ("prompt", trace.input_tokens, f"{_TOKENS.input_mean:g} (P99 {_TOKENS.input_p99:g})"),
            ("answer", trace.output_tokens, f"{_TOKENS.output_mean:g} (P99 {_TOKENS.output_p99:g})"),
        ):
            if quantiles.mean.value is None:
                said.append(f"{trace.file} tells no {name} tokens: {instead}")
    longest = _longest(tokens, serving.model.context_tokens)
    said.append(
        f"the engine accepts sequences of up to {longest} tokens (the trace's 99th percentiles add up to "
        f"{tokens.input_p99 + tokens.output_p99:.0f}); longer requests are refused"
    )
    return Demand(
        tokens=tokens, mean_rps=mean, peak_rps=max(mean, peak), max_model_tokens=longest, assumptions=tuple(said)
    )


def _longest(tokens: Tokens, context: int) -> int:
    """A power of two with room for twice the 99th percentile, within the model's context."""
    wanted = LEAST_MODEL_TOKENS
    while wanted < 2 * (tokens.input_p99 + tokens.output_p99):
        wanted *= 2
    return min(wanted, context)


def _value(quantiles: Quantiles, name: str, instead: float) -> float:
    value: float | None = getattr(quantiles, name).value
    return max(1.0, instead if value is None else value)
