"""What is to be said about a request trace: what it lacks, what was left out, what looks wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ferry.artefacts import Finding
from ferry.traces import Trace
from ferry.traces.statistics import Arrivals, Statistics

SHORT_TRACE_S = 1800.0
_LEAST_GAP_S = 600.0
_EXPECTED_IN_GAP = 100
"""Requests that the mean rate would have put into a gap; far fewer, and a quiet night explains it."""
_ERRORS_SHARE = 0.01
_TOKENS_SHARE = 0.99
_EXPORT = "export time, prompt tokens and answer tokens of each request from the gateway's or the engine's accounting"


def about(trace: Trace, found: Statistics) -> list[Finding]:
    """All of them."""
    return [*_lacks(trace, found), *_left_out(trace), *_order(trace, found), *_content(trace, found)]


def _finding(
    severity: Literal["info", "warning", "critical"], code: str, where: str, seen: str, means: str, remedy: str
) -> Finding:
    return Finding(severity=severity, code=code, seen=seen, where=where, means=means, remedy=remedy)


def _lacks(trace: Trace, found: Statistics) -> Iterator[Finding]:
    file, counts = trace.label, trace.counts
    if found.arrivals is None:
        yield _finding(
            "critical", "trace-without-times", file,
            f"{counts.requests} requests of a {trace.format} log without a time",
            "rates are unknown, so the size of the fleet rests on an assumed load",
            "let the log carry times: docker logs -t, kubectl logs --timestamps, journalctl -o short-iso; or give the "
            "gateway's access log",
        )  # fmt: skip
    elif found.arrivals.duration_s < SHORT_TRACE_S:
        yield _finding(
            "warning", "trace-too-short", file,
            f"the trace covers {found.arrivals.duration_s:.0f} s",
            "the busiest minute of a day is not in it, so the largest size of the fleet rests on little",
            "give a trace of at least an hour of the busiest day",
        )  # fmt: skip
    known = {"prompt": trace.known["input_tokens"], "answer": trace.known["output_tokens"]}
    if lacking := [name for name, count in known.items() if not count]:
        yield _finding(
            "warning", "trace-without-tokens", file,
            f"{trace.format} tells no {' and no '.join(lacking)} tokens",
            "the lengths of requests are unknown: what they cost in memory and time is assumed",
            _EXPORT,
        )  # fmt: skip
    for name, count in known.items():
        # Requests that were refused have no tokens; more than these are a gap in the log.
        if 0 < count < _TOKENS_SHARE * (counts.requests - found.client_errors - found.server_errors):
            yield _finding(
                "warning", "trace-with-few-tokens", file,
                f"{count} of {counts.requests} requests have {name} tokens",
                "the quantiles are of these alone, which may be of another kind than the rest",
                _EXPORT,
            )  # fmt: skip
    if found.arrivals and trace.layout.time_is == "end" and not found.latency_us:
        yield _finding(
            "info", "trace-times-are-of-answers", file,
            f"{trace.format} lines are written when a request is answered, and have no latency",
            "when requests came is known only but for their latency; rates over minutes hardly suffer",
            "let the gateway log latencies: nginx's $request_time",
        )  # fmt: skip
    if trace.layout.notes:
        yield _finding(
            "info", "trace-reading", file,
            f"read as {trace.format}",
            "; ".join(trace.layout.notes),
            "name format, columns or log_format under requests in site.yaml if this is not so",
        )  # fmt: skip


def _left_out(trace: Trace) -> Iterator[Finding]:
    file, counts = trace.label, trace.counts
    if counts.damaged:
        more = ", …" if counts.damaged > len(counts.damaged_at) else ""
        yield _finding(
            "warning", "trace-rows-damaged", f"{file}: {', '.join(counts.damaged_at)}{more}",
            f"{counts.damaged} rows are cut off, not UTF-8, or have numbers that cannot be",
            f"they are used for nothing; the figures rest on the other {counts.requests}",
            "look at these lines; export the trace again if they matter",
        )  # fmt: skip
    if counts.not_inference:
        yield _finding(
            "info", "trace-other-requests", file,
            f"{counts.not_inference} of {counts.not_inference + counts.requests} requests generate no text",
            "health checks, model lists, embeddings and the like are not counted in any figure",
            "name other paths that generate text in requests.paths",
        )  # fmt: skip


def _order(trace: Trace, found: Statistics) -> Iterator[Finding]:
    file, arrivals = trace.label, found.arrivals
    if arrivals is None:
        return
    if arrivals.out_of_order:
        yield _finding(
            "info", "trace-out-of-order", file,
            f"{arrivals.out_of_order} rows are earlier than the one above, by up to {arrivals.furthest_back_s:.4g} s",
            "figures do not depend on the order, but a jump far back shows files put together, perhaps one twice",
            "make sure that each part is in it once",
        )  # fmt: skip
    if found.duplicates:
        yield _finding(
            "info", "trace-duplicates", file,
            f"{found.duplicates} of {found.requests} requests are like an earlier one in all that the trace tells",
            "where these are the same requests, logged twice, the rates are too high",
            "make sure that each request is in it once; sort -u helps where lines are equal",
        )  # fmt: skip
    if _is_gap(arrivals, found.requests):
        yield _finding(
            "warning", "trace-gap", f"{file}: {arrivals.gap_after_s:.0f} s from the start",
            f"no request for {arrivals.gap_s:.0f} s, where the mean rate would have brought "
            f"{arrivals.gap_s * found.requests / arrivals.duration_s:.0f}",
            "the log may have been off, so that mean rate and quiet hours are too low",
            "say whether the service was down; give a trace without the gap",
        )  # fmt: skip


def _is_gap(arrivals: Arrivals, requests: int) -> bool:
    expected = arrivals.gap_s * requests / arrivals.duration_s if arrivals.duration_s else 0
    return arrivals.gap_s >= _LEAST_GAP_S and expected >= _EXPECTED_IN_GAP


def _content(trace: Trace, found: Statistics) -> Iterator[Finding]:
    file = trace.label
    if found.with_status and found.server_errors / found.with_status >= _ERRORS_SHARE:
        yield _finding(
            "warning", "trace-server-errors", file,
            f"{found.server_errors} of {found.with_status} requests failed at the server",
            "what was asked is more than what was served, and the service breaks already today",
            "find out why before the move: it must not be blamed for it",
        )  # fmt: skip
    if len(found.models) > 1:
        said = ", ".join(f"{name} ({count})" for name, count in found.models[:3])
        yield _finding(
            "warning", "trace-of-several-models", file,
            f"requests to {len(found.models)}{' or more' if len(found.models) == 10 else ''} models: {said}",
            "the figures are of all of them together, and only one moves",
            "give the requests of the model that moves alone",
        )  # fmt: skip
