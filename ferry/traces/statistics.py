"""What a trace says: rates, quantiles, errors, how many requests at once; all exact, all by DuckDB."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ferry.traces.trace import Trace

MOST_FOR_DUPLICATES = 5_000_000
"""Above it, comparing all rows with each other takes longer than reading them."""
_S = 1_000_000
QUARTER_S = 900
"""No time zone is off UTC by less than a quarter of an hour."""


@dataclass(frozen=True)
class Distribution:
    """Mean, and quantiles by nearest rank: the smallest value that at least q of all values do not exceed."""

    count: int
    mean: float
    p50: int
    p95: int
    p99: int


@dataclass(frozen=True)
class Arrivals:
    """When requests came. A minute counts from the first request."""

    first_us: int
    duration_s: float
    busiest_minute: int
    in_busiest_minute: int
    by_quarter: dict[int, int]
    """Requests by quarter of an hour since 1970, in UTC or in what zone the times are."""
    gap_s: float
    """The longest time without a request that spans a whole minute, 0.0 where none does."""
    gap_after_s: float
    """Where it begins, in seconds after the first request."""
    out_of_order: int
    """Lines whose time is before that of the line above."""
    furthest_back_s: float


@dataclass(frozen=True)
class Statistics:
    """Of the requests of a trace; None: the trace does not tell."""

    requests: int
    arrivals: Arrivals | None
    input_tokens: Distribution | None
    output_tokens: Distribution | None
    latency_us: Distribution | None
    ttft_us: Distribution | None
    with_status: int
    client_errors: int
    """Statuses of 400 to 499."""
    server_errors: int
    """Statuses of 500 and above, and 0: Envoy's for no answer."""
    peak_in_flight: int | None
    """The most requests at once, of those that have a time and a latency."""
    reused_prompt_tokens: tuple[int, int] | None
    """Prompt tokens that were cached, or could have been, and all prompt tokens of the same requests."""
    duplicates: int | None
    """Requests like an earlier one in all that the trace tells; None: not looked for."""
    models: tuple[tuple[str, int], ...]


def of(trace: Trace) -> Statistics:
    """The statistics of an open trace. Raises UnreadableInput where they do not fit into memory and TMPDIR."""
    known = trace.known
    timed = bool(known["arrival_us"])
    statuses = trace.database.rows(
        "SELECT count(status), count(*) FILTER (status BETWEEN 400 AND 499), "
        "count(*) FILTER (status >= 500 OR status = 0) FROM requests"
    )[0]
    return Statistics(
        requests=trace.counts.requests,
        arrivals=_arrivals(trace) if timed else None,
        input_tokens=_distribution(trace, "input_tokens"),
        output_tokens=_distribution(trace, "output_tokens"),
        latency_us=_distribution(trace, "latency_us"),
        ttft_us=_distribution(trace, "ttft_us"),
        with_status=statuses[0],
        client_errors=statuses[1],
        server_errors=statuses[2],
        peak_in_flight=_peak_in_flight(trace) if timed and known["latency_us"] else None,
        reused_prompt_tokens=_reused(trace) if known["cached_tokens"] and known["input_tokens"] else None,
        duplicates=_duplicates(trace) if timed and trace.counts.requests <= MOST_FOR_DUPLICATES else None,
        models=_models(trace) if known["model"] else (),
    )


def _distribution(trace: Trace, column: str) -> Distribution | None:
    if not trace.known[column]:
        return None
    # DuckDB's quantile_disc takes element ceil(n·q) of the sorted values: the nearest rank.
    count, mean, quantiles = trace.database.rows(
        f"SELECT count({column}), avg({column}), quantile_disc({column}, [0.5, 0.95, 0.99]) FROM requests"
    )[0]
    return Distribution(count, mean, *quantiles)


def _arrivals(trace: Trace) -> Arrivals:
    rows = trace.database.rows
    first, last = rows("SELECT min(arrival_us), max(arrival_us) FROM requests")[0]
    rows(
        "CREATE OR REPLACE TEMP TABLE minutes AS SELECT (arrival_us - ?) // 60000000 AS minute, count(*) AS requests, "
        "min(arrival_us) AS first_us, max(arrival_us) AS last_us FROM requests WHERE arrival_us IS NOT NULL GROUP BY 1",
        [first],
    )
    minute, in_busiest = rows("SELECT minute, requests FROM minutes ORDER BY requests DESC, minute LIMIT 1")[0]
    gap = rows(
        "SELECT first_us - before_us AS gap_us, before_us FROM (SELECT minute, first_us, "
        "lag(last_us) OVER (ORDER BY minute) AS before_us, lag(minute) OVER (ORDER BY minute) AS before FROM minutes) "
        "WHERE minute > before + 1 ORDER BY gap_us DESC, before_us LIMIT 1"
    )
    quarters = rows(
        f"SELECT arrival_us // {QUARTER_S * _S}, count(*) FROM requests WHERE arrival_us IS NOT NULL "
        "GROUP BY 1 ORDER BY 1"
    )
    # A log of ends is in the order of ends.
    logged = "arrival_us + coalesce(latency_us, 0)" if trace.layout.time_is == "end" else "arrival_us"
    back = rows(
        "SELECT count(*) FILTER (step < 0), coalesce(-min(step), 0) FROM "
        f"(SELECT logged - lag(logged) OVER () AS step FROM (SELECT {logged} AS logged FROM requests))"
    )[0]
    return Arrivals(
        first_us=first,
        duration_s=(last - first) / _S,
        busiest_minute=minute,
        in_busiest_minute=in_busiest,
        by_quarter={} if trace.layout.relative else dict(quarters),
        gap_s=gap[0][0] / _S if gap else 0.0,
        gap_after_s=(gap[0][1] - first) / _S if gap else 0.0,
        out_of_order=back[0],
        furthest_back_s=max(0, back[1]) / _S,
    )


def _peak_in_flight(trace: Trace) -> int:
    """The most requests at once; one that ends when another begins is not counted with it.

    Sorting all beginnings and ends costs more than all else. So seconds come first: in no moment of a second can there
    be more than were there at its start and came in it. Only seconds that could hold the peak are looked at closely.
    """
    rows = trace.database.rows
    rows(
        "CREATE OR REPLACE TEMP VIEW events AS SELECT arrival_us AS moment_us, 1 AS step FROM requests "
        "WHERE arrival_us IS NOT NULL AND latency_us > 0 UNION ALL SELECT arrival_us + latency_us, -1 FROM requests "
        "WHERE arrival_us IS NOT NULL AND latency_us > 0"
    )
    rows(
        "CREATE OR REPLACE TEMP TABLE seconds AS SELECT second, came, "
        "coalesce(sum(net) OVER (ORDER BY second ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before "
        f"FROM (SELECT moment_us // {_S} AS second, sum(step) AS net, count(*) FILTER (step > 0) AS came "
        "FROM events GROUP BY 1)"
    )
    return int(
        rows(
            "SELECT coalesce(max(before + running), 0) FROM (SELECT before, sum(step) OVER "
            "(PARTITION BY second ORDER BY moment_us, step ROWS UNBOUNDED PRECEDING) AS running "
            f"FROM events JOIN seconds ON second = moment_us // {_S} "
            "WHERE before + came >= (SELECT max(before) FROM seconds))"
        )[0][0]
    )


def _reused(trace: Trace) -> tuple[int, int]:
    cached, prompts = trace.database.rows(
        "SELECT sum(cached_tokens)::BIGINT, sum(input_tokens)::BIGINT FROM requests "
        "WHERE cached_tokens IS NOT NULL AND input_tokens IS NOT NULL"
    )[0]
    return cached or 0, prompts or 0


def _duplicates(trace: Trace) -> int | None:
    if not (trace.known["latency_us"] or trace.known["input_tokens"]):
        return None
    return int(
        trace.database.rows(
            "SELECT coalesce(sum(alike - 1), 0) FROM (SELECT count(*) AS alike FROM requests GROUP BY arrival_us, "
            "input_tokens, output_tokens, latency_us, ttft_us, status, model HAVING count(*) > 1)"
        )[0][0]
    )


def _models(trace: Trace) -> tuple[tuple[str, int], ...]:
    """The ten that were asked most. A client writes this name: it is cut to what a name looks like."""
    found: Iterable[tuple[str, int]] = trace.database.rows(
        "SELECT model, count(*) AS requests FROM requests WHERE model IS NOT NULL GROUP BY model "
        "ORDER BY requests DESC, model LIMIT 10"
    )
    return tuple(("".join(one for one in name if one.isprintable())[:80], count) for name, count in found)
