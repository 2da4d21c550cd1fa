"""Speaks to a live Prometheus server: instant and range queries of its HTTP API, with the user's authentication.

Secrets are read from the environment, sent to this address only (redirects are refused), and never shown. Tested
with Prometheus; Thanos, Mimir and VictoriaMetrics offer the same API.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from ferry.artefacts import Finding
from ferry.assess.prometheus.response import series_of, warnings_of
from ferry.assess.prometheus.series import Point, Series, moment
from ferry.errors import InvalidField, UnreadableInput

TIMEOUT_S = 30.0
"""For a whole answer. A server gives up by itself after two minutes; one that takes so long is asked too much."""
LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
MOST_POINTS = 11_000
"""web/api/v1/api.go: a range query that gives more points for a series is refused."""
MOST_VALUES = 5_000_000
OTHER_WAY = "or save the engine's /metrics to a file and name it under metrics"


@dataclass(frozen=True)
class Access:
    """Where the server is and how to be let in: a token, or a user and a password, from environment variables."""

    url: str
    token_env: str | None = None
    username_env: str | None = None
    password_env: str | None = None
    ca_file: Path | None = None


class Client:
    """One connection to a server. Raises UnreadableInput (no answer, an error) or InvalidField (secrets, address)."""

    def __init__(self, access: Access, environment: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> None:
        self.access = access
        self.timeout_s = timeout_s
        self.findings: dict[str, Finding] = {}
        self._headers = {"Accept": "application/json", **_authorization(access, environment)}
        self._values = 0
        parts = urlsplit(access.url)
        try:
            if parts.scheme == "https":
                self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                    parts.hostname or "", parts.port, timeout=timeout_s, context=_trust(access.ca_file)
                )
            else:
                self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
        except (ValueError, http.client.InvalidURL) as error:
            raise InvalidField(f"prometheus.url: {access.url!r} is not an address: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def names(self, start_s: float, end_s: float) -> list[str]:
        """The names of all metrics that the server holds in that time."""
        data = self._get("label/__name__/values", {"start": f"{start_s:.3f}", "end": f"{end_s:.3f}"})
        if not isinstance(data, list) or not all(isinstance(name, str) for name in data):
            raise self._no_prometheus("a list of names was expected")
        return data

    def query(self, promql: str, at_s: float) -> list[Series]:
        """The instant vector of an expression. NaN is left out."""
        return self._series({"query": promql, "time": f"{at_s:.3f}"}, "query", promql, at_s)

    def query_range(self, promql: str, start_s: float, end_s: float, step_s: float) -> list[Series]:
        """The range vector of an expression, in as many parts as the server's limit of points asks for."""
        merged: dict[tuple[str, tuple[tuple[str, str], ...]], list[Point]] = {}
        at = start_s
        while at <= end_s:
            until = min(at + (MOST_POINTS - 1) * step_s, end_s)
            parameters = {"query": promql, "start": f"{at:.3f}", "end": f"{until:.3f}", "step": f"{step_s:g}"}
            for one in self._series(parameters, "query_range", promql, end_s):
                merged.setdefault((one.name, tuple(sorted(one.labels.items()))), []).extend(one.points)
                self._values += len(one.points)
            if self._values > MOST_VALUES:
                raise UnreadableInput(
                    f"{self.access.url}: {promql} gives more than {MOST_VALUES:,} values; lower prometheus.window_days"
                )
            at = until + step_s
        place = _place(promql, end_s)
        return [Series(name, dict(labels), points, place) for (name, labels), points in merged.items()]

    def _series(self, parameters: dict[str, str], path: str, promql: str, at_s: float) -> list[Series]:
        data = self._get(path, parameters)
        expected = {"query": "vector", "query_range": "matrix"}[path]
        if not isinstance(data, dict) or data.get("resultType") != expected:
            kind = data.get("resultType") if isinstance(data, dict) else type(data).__name__
            raise self._no_prometheus(f"expected a {expected}, got {str(kind)[:40]}")
        try:
            return series_of(expected, data.get("result"), _place(promql, at_s))
        except (ValueError, TypeError, IndexError, KeyError) as error:
            raise self._no_prometheus(" ".join(str(error).split())[:120]) from error

    def _get(self, path: str, parameters: dict[str, str]) -> Any:
        status, body = self._ask(f"{urlsplit(self.access.url).path.rstrip('/')}/api/v1/{path}?{urlencode(parameters)}")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            if status in (429, 502, 503, 504):
                raise UnreadableInput(
                    f"{self.access.url}: answers {status}: overloaded, or what stands before it is; try again later, "
                    f"{OTHER_WAY}"
                ) from error
            raise self._no_prometheus(f"answers {status}: {' '.join(str(error).split())[:80]}") from error
        if not isinstance(answer, dict) or answer.get("status") not in ("success", "error"):
            raise self._no_prometheus(f"answers {status} without a status")
        if answer["status"] == "error":
            said = " ".join(f"{answer.get('errorType')}: {answer.get('error')}".split())[:300]
            raise UnreadableInput(
                f"{self.access.url}: Prometheus answers {status}, {said}; where it is too much, lower "
                "prometheus.window_days"
            )
        for finding in warnings_of(answer, self.access.url):
            self.findings[finding.seen] = finding
        return answer.get("data")

    def _ask(self, path: str) -> tuple[int, bytes]:
        """The status and the body, all of it within the time."""
        url, deadline = self.access.url, time.monotonic() + self.timeout_s
        try:
            self._connection.request("GET", path, headers=self._headers)
            with self._connection.getresponse() as response:
                body = bytearray()
                while chunk := response.read1(65536):
                    body += chunk
                    if len(body) > LARGEST_ANSWER_BYTES:
                        raise UnreadableInput(
                            f"{url}: answers with more than {LARGEST_ANSWER_BYTES // 2**20} MiB; lower "
                            "prometheus.window_days"
                        )
                    if time.monotonic() > deadline:
                        raise TimeoutError
                status, location = response.status, response.getheader("Location")
        except TimeoutError as error:
            raise UnreadableInput(
                f"{url}: Prometheus did not answer within {self.timeout_s:g} s; lower prometheus.window_days, "
                f"{OTHER_WAY}"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise UnreadableInput(
                f"{url}: its certificate is not trusted ({error.verify_message}); name the file of your certificate "
                "authority as prometheus.ca_file"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise UnreadableInput(
                f"{url}: Prometheus does not answer: {' '.join(str(error).split()) or type(error).__name__}; check the "
                f"address, {OTHER_WAY}"
            ) from error
        if status in (401, 403):
            raise UnreadableInput(f"{url}: Prometheus answers {status}: {_let_in(self.access)}")
        if 300 <= status < 400:
            raise UnreadableInput(
                f"{url}: answers {status} and points to {' '.join(str(location).split())[:200]}; Ferry takes no secret "
                "to another address: name the final one"
            )
        return status, bytes(body)

    def _no_prometheus(self, why: str) -> UnreadableInput:
        return UnreadableInput(f"{self.access.url}: answers, but not as a Prometheus server: {why}")


def _place(promql: str, at_s: float) -> str:
    return f"query {promql} at {moment(at_s)}"


def _authorization(access: Access, environment: Mapping[str, str]) -> dict[str, str]:
    if access.token_env is not None:
        token = _secret("token_env", access.token_env, environment)
        if " " in token:
            raise InvalidField(f"prometheus.token_env: the value of {access.token_env} has a space, which no token has")
        return {"Authorization": f"Bearer {token}"}
    if access.username_env is not None and access.password_env is not None:
        user = _secret("username_env", access.username_env, environment)
        password = _secret("password_env", access.password_env, environment)
        if ":" in user:
            raise InvalidField(f"prometheus.username_env: the value of {access.username_env} has a colon")
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    return {}


def _secret(key: str, variable: str, environment: Mapping[str, str]) -> str:
    secret = environment.get(variable, "")
    if not secret:
        raise InvalidField(f"prometheus.{key}: the environment variable {variable} is not set; export it first")
    if not secret.isascii() or not secret.isprintable():
        raise InvalidField(f"prometheus.{key}: the value of {variable} has characters that cannot be sent")
    return secret


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidField(
            f"prometheus.ca_file: {ca_file} is no file of certificates (PEM): {error.strerror or error}"
        ) from error


def _let_in(access: Access) -> str:
    if access.token_env:
        return f"it refuses the token in {access.token_env}"
    if access.username_env:
        return f"it refuses the user and password in {access.username_env} and {access.password_env}"
    return "it wants a token or a password: name the variables as token_env, or username_env and password_env"
