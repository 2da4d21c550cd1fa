"""Asks a live Prometheus server for the engine's metrics over the last day, through its HTTP API (/api/v1/query).

The answer is brought into the shape of a saved exposition, so that both take the same way from there. A token is read
from the environment, sent as a bearer token to this address only (redirects are refused), and never shown.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from ferry.assess.prometheus import ENGINES, Sample
from ferry.errors import InvalidField, UnreadableInput

WINDOW = "1d"
"""Long enough to hold the quiet and the busy hours."""
TIMEOUT_S = 10.0
LARGEST_ANSWER_BYTES = 64 * 1024 * 1024


def ask(url: str, token_env: str | None, engine: str, *, timeout_s: float = TIMEOUT_S) -> list[Sample]:
    """The engine's histograms and gauges over the last day, summed over its instances.

    Raises UnreadableInput (no answer, not Prometheus, an error of its own) or InvalidField (the token).
    """
    names = ENGINES[engine]
    token = _token(token_env, os.environ)
    samples: list[Sample] = []
    with _connection(url, timeout_s) as connection:

        def query(promql: str, name: str) -> None:
            for labels, value in _query(connection, url, promql, token, token_env):
                samples.append(Sample(name, labels, value))

        for name in (*names.ttft, *names.tpot, *names.latency):
            query(f"sum by (le, model_name) (increase({name}_bucket[{WINDOW}]))", f"{name}_bucket")
            query(f"sum by (model_name) (increase({name}_sum[{WINDOW}]))", f"{name}_sum")
            query(f"sum by (model_name) (increase({name}_count[{WINDOW}]))", f"{name}_count")
        for name in (*names.running, *names.waiting):
            query(f"sum by (model_name) (avg_over_time({name}[{WINDOW}]))", name)
        for name in names.kv_cache_use:
            query(f"avg by (model_name) (avg_over_time({name}[{WINDOW}]))", name)
    return samples


def _token(token_env: str | None, environment: Mapping[str, str]) -> str | None:
    if token_env is None:
        return None
    token = environment.get(token_env, "")
    if not token:
        raise InvalidField(f"prometheus.token_env: the environment variable {token_env} is not set; export it first")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidField(f"prometheus.token_env: the value of {token_env} has characters that no token has")
    return token


@contextlib.contextmanager
def _connection(url: str, timeout_s: float) -> Iterator[http.client.HTTPConnection]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    except (ValueError, http.client.InvalidURL) as error:
        raise InvalidField(f"prometheus.url: {url!r} is not an address: {error}") from error
    with contextlib.closing(connection):
        yield connection


def _query(
    connection: http.client.HTTPConnection, url: str, promql: str, token: str | None, token_env: str | None
) -> list[tuple[dict[str, str], float]]:
    path = f"{urlsplit(url).path.rstrip('/')}/api/v1/query?{urlencode({'query': promql})}"
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as response:
            body = response.read(LARGEST_ANSWER_BYTES)
    except TimeoutError as error:
        raise UnreadableInput(
            f"{url}: Prometheus did not answer within {connection.timeout:g} s; try again, or save /metrics to a file"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise UnreadableInput(
            f"{url}: Prometheus does not answer: {' '.join(str(error).split()) or type(error).__name__}; "
            "check the address, or save the engine's /metrics to a file and name it under metrics"
        ) from error
    if response.status in (401, 403):
        remedy = f"it refuses the token in {token_env}" if token else "it wants a token: name its variable as token_env"
        raise UnreadableInput(f"{url}: Prometheus answers {response.status}: {remedy}")
    if 300 <= response.status < 400:
        raise UnreadableInput(
            f"{url}: answers {response.status} and points to {response.getheader('Location')}; Ferry takes no token "
            "to another address: name the final one"
        )
    return _result(url, response.status, body)


def _result(url: str, status: int, body: bytes) -> list[tuple[dict[str, str], float]]:
    try:
        answer: Any = json.loads(body)
        if answer["status"] != "success":
            raise UnreadableInput(f"{url}: Prometheus answers {status}: {' '.join(str(answer.get('error')).split())}")
        if answer["data"]["resultType"] != "vector":
            raise ValueError(f"expected a vector, got {answer['data']['resultType']}")
        series = [(dict(item["metric"]), float(item["value"][1])) for item in answer["data"]["result"]]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UnreadableInput(
            f"{url}: answers {status}, but not as a Prometheus server: {' '.join(str(error).split())[:120]}"
        ) from error
    return [(labels, value) for labels, value in series if math.isfinite(value)]
