"""What the routes file says, as values, and back: `Routes` ⇄ Envoy's RouteConfiguration as YAML.

The order of the routes is the order of decisions: a stage by its path, a version by its header, then the weights.
`Routes` holds all that the file says, so that a controller that changes a weight keeps the rest as it was rendered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from ferry.errors import GatewayError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Safe, and ten times as fast where PyYAML has libyaml."""
NAME = "inference"
MIRRORED_HEADER = "x-ferry-mirrored"
HEADER = """\
# How the gateway divides requests. Envoy reads this file when it is replaced, never when it is changed in place.
# Written by Ferry, which takes turns by the lock state/cutover.lock; the next render keeps weights and mirror.
"""
FAIL_OVER = {"local": "local-then-cloud", "cloud": "cloud-then-local"}
"""A side of the move to the cluster that sends to it, and to the other side what it could not take."""
TYPE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
OTHER_SIDE = {
    "name": "envoy.retry_priorities.previous_priorities",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
        "update_frequency": 1,
    },
}
BODY_LIMIT_BYTES = 2**23
"""Of a request that is kept until an engine has taken it: to be sent to the other side, and to be mirrored."""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """Copies of requests whose answers are thrown away."""

    cluster: str
    percent: int
    """1 to 100."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A pre- or post-processing service: requests below a path go to a cluster of its own."""

    prefix: str
    """A path that starts with `/`, as in `/v1/images`; what only begins with the same letters is another path."""
    cluster: str


@dataclass(frozen=True, kw_only=True)
class Routes:
    """How the gateway divides requests. Raises GatewayError for what no gateway could do."""

    weights: Mapping[str, int]
    """Cluster to percent; adds up to 100."""
    mirror: Mirror | None = None
    generation: int = 0
    """Fencing: raised by each controller that takes over."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Value of the version header to the cluster that it pins."""
    version_header: str = "x-model-version"
    user_header: str | None = None
    """Sticky by this header's value; None: each request is weighed anew."""
    stages: tuple[Stage, ...] = ()
    mirror_hosts: Mapping[str, str] = field(default_factory=dict)
    """Cluster to the Host header of the copies that go there; without one they keep the client's."""

    def __post_init__(self) -> None:
        if sum(self.weights.values()) != 100 or not all(0 <= weight <= 100 for weight in self.weights.values()):
            given = ", ".join(f"{name} {weight}" for name, weight in self.weights.items())
            raise GatewayError(f"weights have to be from 0 to 100 and to add up to 100; given: {given or 'none'}")
        if self.mirror and not 1 <= self.mirror.percent <= 100:
            raise GatewayError(f"a mirror takes 1 to 100 percent of the requests, not {self.mirror.percent}")

    def clusters(self) -> set[str]:
        """Every cluster that is named."""
        named = {*self.weights, *self.versions.values(), *(stage.cluster for stage in self.stages)}
        return named | ({self.mirror.cluster} if self.mirror else set())

    @property
    def version(self) -> str:
        """What tells these routes from all others: the generation, and a hash of everything."""
        text = json.dumps(self._configuration(), sort_keys=True)
        return f"{self.generation}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def dump(self) -> str:
        """The file's text: a DiscoveryResponse with one RouteConfiguration. The same routes give the same bytes."""
        document = {"version_info": self.version, "resources": [{"@type": TYPE, **self._configuration()}]}
        return HEADER + yaml.safe_dump(document, sort_keys=False, width=120)

    @classmethod
    def parse(cls, text: str) -> Routes:
        """The routes in a file's text. Raises GatewayError for anything that these values cannot express."""
        try:
            configuration = yaml.load(text, LOADER)["resources"][0]  # noqa: S506
        except (yaml.YAMLError, LookupError, TypeError) as error:
            raise GatewayError(f"no routes in it: {' '.join(str(error).split())}") from error
        routes = cls.from_configuration(configuration)
        # What is not understood would be lost with the next change of a weight.
        if configuration != {"@type": TYPE, **routes._configuration()}:
            raise GatewayError("routes that Ferry did not write, and would lose with the next change of a weight")
        return routes

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Routes:
        """The routes in a RouteConfiguration, as in a file or in Envoy's config_dump. Raises GatewayError."""
        try:
            said = configuration["metadata"]["filter_metadata"]["ferry"]
            (host,) = configuration["virtual_hosts"]
            *others, last = host["routes"]
            stages = [each for each in others if "path_separated_prefix" in each["match"]]
            pinned = [each for each in others if "headers" in each["match"]]
            headers = [(each["match"]["headers"][0], each["route"]["cluster"]) for each in pinned]
            shares = last["route"]["weighted_clusters"]["clusters"]
            return cls(
                weights={_side(each["name"]): int(each["weight"]) for each in shares},
                mirror=next(map(_mirror, last["route"].get("request_mirror_policies", [])), None),
                # Envoy gives every number in metadata as a floating-point one.
                generation=int(said["generation"]),
                versions={header["string_match"]["exact"]: cluster for header, cluster in headers},
                version_header=str(said["version_header"]),
                user_header=next(
                    (each["header"]["header_name"] for each in last["route"].get("hash_policy", [])), None
                ),
                stages=tuple(
                    Stage(prefix=each["match"]["path_separated_prefix"], cluster=each["route"]["cluster"])
                    for each in stages
                ),
                mirror_hosts=dict(said["mirror_hosts"]),
            )
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise GatewayError(f"no routes of Ferry in it: {type(error).__name__}: {error}") from error

    def _configuration(self) -> dict[str, Any]:
        said = {
            "generation": self.generation,
            "version_header": self.version_header,
            "mirror_hosts": dict(self.mirror_hosts),
        }
        return {
            "name": NAME,
            "metadata": {"filter_metadata": {"ferry": said}},
            "validate_clusters": True,
            "virtual_hosts": [
                {
                    "name": NAME,
                    "domains": ["*"],
                    "request_body_buffer_limit": BODY_LIMIT_BYTES,
                    "routes": [*map(_stage, self.stages), *self._pinned(), self._weighed()],
                }
            ],
        }

    def _pinned(self) -> list[dict[str, Any]]:
        return [
            {
                "name": f"version:{value}",
                "match": {"prefix": "/", "headers": [{"name": self.version_header, "string_match": {"exact": value}}]},
                # Another version's answer would not be what was asked for: no way to the other side.
                "route": {"cluster": cluster, **_forwarding(), "retry_policy": _retries()},
            }
            for value, cluster in self.versions.items()
        ]

    def _weighed(self) -> dict[str, Any]:
        clusters = [{"name": FAIL_OVER.get(name, name), "weight": weight} for name, weight in self.weights.items()]
        action: dict[str, Any] = {
            "weighted_clusters": {"clusters": clusters},
            **_forwarding(),
            "retry_policy": _retries() | {"retry_priority": OTHER_SIDE},
        }
        if self.user_header:
            action["weighted_clusters"]["use_hash_policy"] = True
            action["hash_policy"] = [{"header": {"header_name": self.user_header}}]
        if self.mirror:
            share = {"numerator": self.mirror.percent, "denominator": "HUNDRED"}
            marked = {"key": MIRRORED_HEADER, "value": "1"}
            policy = {
                "cluster": self.mirror.cluster,
                "runtime_fraction": {"default_value": share},
                "disable_shadow_host_suffix_append": True,
                "request_headers_mutations": [{"append": {"header": marked}}],
            }
            if host := self.mirror_hosts.get(self.mirror.cluster):
                policy["host_rewrite_literal"] = host
            action["request_mirror_policies"] = [policy]
        return {"name": "weights", "match": {"prefix": "/"}, "route": action}


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "name": f"stage:{stage.cluster}",
        "match": {"path_separated_prefix": stage.prefix},
        "route": {"cluster": stage.cluster, **_forwarding(), "retry_policy": _retries()},
    }


def _forwarding() -> dict[str, Any]:
    # Envoy's default of 15 s would cut a stream that has long answered with status 200.
    return {"auto_host_rewrite": True, "timeout": "0s"}


def _retries() -> dict[str, Any]:
    # Only what never reached an engine is sent again: a second try must not generate twice.
    backoff = {"base_interval": "0.005s", "max_interval": "0.05s"}
    return {"retry_on": "connect-failure,refused-stream", "num_retries": 2, "retry_back_off": backoff}


def _mirror(policy: Mapping[str, Any]) -> Mirror:
    return Mirror(cluster=policy["cluster"], percent=int(policy["runtime_fraction"]["default_value"]["numerator"]))


def _side(cluster: str) -> str:
    return next((side for side, aggregate in FAIL_OVER.items() if aggregate == cluster), cluster)
