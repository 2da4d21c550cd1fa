"""Whether an engine would answer if all traffic came to it now.

`/health` of vLLM and SGLang says that the server's process and its engine loop live; it is answered from a loaded model
as well as from a GPU that fell off the bus a moment later. Engine metrics say what was, not what will be: an engine
without traffic, which the local one is after 100 %, has none that move. So both are asked: `/health`, and a request for
one token, which takes the way that traffic takes: tokeniser, weights on the GPU, sampling. It costs one token.
vLLM: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html (its `/health` raises for a dead engine only)
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any, Literal

from ferry.artefacts import read_yaml
from ferry.errors import GatewayError
from ferry.traffic.gateway import Admin, GatewayFolder

State = Literal["warm", "cold", "unknown"]
HEALTH_SECONDS = 3.0
TOKEN_SECONDS = 20.0
"""A first token under full load may wait in the queue for as long as the site's TTFT; a dead GPU never answers."""
LARGEST_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True)
class Warmth:
    """What was found, and why."""

    state: State
    """Unknown: it lives, and what it serves cannot be asked without a key."""
    reason: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.state}: {self.reason}"


@dataclass(frozen=True)
class Engine:
    """An engine's address, asked directly and not through the gateway, which would send the request elsewhere."""

    host: str
    port: int
    token_seconds: float = TOKEN_SECONDS

    def warmth(self) -> Warmth:
        """Ask for its health and for one token. Never raises: no answer is an answer."""
        where = f"{self.host}:{self.port}"
        try:
            status, _ = self._ask("GET", "/health", None, HEALTH_SECONDS)
            if status != 200:
                return Warmth("cold", f"{where}/health answers {status}, expected is 200")
            status, models = self._ask("GET", "/v1/models", None, HEALTH_SECONDS)
            if status in (401, 403):
                return Warmth("unknown", f"{where} is healthy and wants a key for more ({status})")
            model = _first_model(models) if status == 200 else None
            if model is None:
                return Warmth("cold", f"{where}/v1/models names no model (status {status})")
            wanted = {"model": model, "prompt": "1", "max_tokens": 1, "temperature": 0}
            status, answer = self._ask("POST", "/v1/completions", wanted, self.token_seconds)
            if status != 200 or not (isinstance(answer, dict) and answer.get("choices")):
                return Warmth("cold", f"{where} generates no token (status {status} of /v1/completions)")
        except TimeoutError:
            return Warmth("cold", f"{where} did not answer in time ({self.token_seconds:g} s for one token)")
        except (OSError, http.client.HTTPException) as error:
            return Warmth("cold", f"{where} does not answer: {error or type(error).__name__}")
        return Warmth("warm", f"{where} is healthy and generated a token of {model}")

    def _ask(self, method: str, path: str, body: Any, seconds: float) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=seconds)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"content-type": "application/json"})
            response = connection.getresponse()
            text = response.read(LARGEST_ANSWER_BYTES)
            try:
                return response.status, json.loads(text)
            except ValueError:
                return response.status, None
        finally:
            connection.close()


def warmth_at_home(folder: GatewayFolder, admin: Admin, cluster: str) -> Warmth:
    """Of a cluster of the gateway: its engines asked directly, the best counts.

    A cluster that is reached by TLS is not an engine of this room; there, Envoy's health checks have to do.
    Raises GatewayError for an envoy.yaml that has no such cluster.
    """
    engines = engines_of(folder, cluster)
    if engines:
        found = [engine.warmth() for engine in engines]
        return min(found, key=lambda one: ("warm", "unknown", "cold").index(one.state))
    try:
        counted = admin.counters()[cluster]
    except (GatewayError, KeyError) as error:
        return Warmth("unknown", f"{cluster} is reached by TLS, and Envoy cannot be asked: {error}")
    state: State = "warm" if counted.healthy else "cold"
    return Warmth(
        state, f"{counted.healthy} of {counted.members} servers of {cluster} are healthy, as Envoy checks them"
    )


def engines_of(folder: GatewayFolder, cluster: str) -> tuple[Engine, ...]:
    """The engines of a cluster of envoy.yaml; none for one that is reached by TLS. Raises GatewayError."""
    document = read_yaml(folder.envoy_file)
    try:
        (found,) = (one for one in document["static_resources"]["clusters"] if one["name"] == cluster)
        if "transport_socket" in found:
            return ()
        addresses = [
            endpoint["endpoint"]["address"]["socket_address"]
            for locality in found["load_assignment"]["endpoints"]
            for endpoint in locality["lb_endpoints"]
        ]
        return tuple(Engine(str(one["address"]), int(one["port_value"])) for one in addresses)
    except (LookupError, TypeError, ValueError) as error:
        raise GatewayError(f"{folder.envoy_file}: no addresses of the cluster {cluster} in it: {error}") from error


def _first_model(models: Any) -> str | None:
    try:
        return str(models["data"][0]["id"])
    except (LookupError, TypeError):
        return None
