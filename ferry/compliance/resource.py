"""What rules look at: a resource as the engine registers it, and the stack that it belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stacks.settings import Settings

Profile = Literal["baseline", "mlps-l3"]
"""`mlps-l3`: a system of level 3 of MLPS 2.0 (等保2.0). `baseline` asks of every stack what no stack should lack."""

MLPS_LEVEL_TAG = "mlps-level"
MAINLAND_REGIONS = ("cn-north-1", "cn-northwest-1")
"""https://docs.amazonaws.cn/en_us/aws/latest/userguide/endpoints-arns.html"""


@dataclass(frozen=True)
class Context:
    """The stack, as far as rules need it."""

    region: str
    environment: str
    profile: Profile = "baseline"
    disposable: bool = False
    """The stack says that it may be destroyed with everything in it (`audit.mode: disposable`, dev only)."""

    @classmethod
    def of(cls, settings: Settings, profile: Profile | None = None) -> Context:
        """Of a stack's settings. Without a profile, a stack tagged `mlps-level: 3` or named prod-cn is of level 3."""
        level_3 = settings.tags.get(MLPS_LEVEL_TAG) == "3" or settings.environment == "prod-cn"
        return cls(
            settings.region,
            settings.environment,
            profile or ("mlps-l3" if level_3 else "baseline"),
            settings.audit.mode == "disposable",
        )

    @property
    def permanent(self) -> bool:
        """Whether data has to outlive the stack. A system of level 3 is never disposable."""
        return not self.disposable or self.profile == "mlps-l3"


@dataclass(frozen=True)
class Resource:
    """A resource by its Pulumi type, with its inputs under Pulumi's names (camelCase)."""

    type: str
    name: str
    properties: Mapping[str, Any]
    id: str = ""
    """What other resources call it by: for a bucket its name."""
    protected: bool | None = None
    """Pulumi's `protect`; None where nobody can tell, as in a live account."""

    def get(self, path: str, default: Any = None) -> Any:
        """A property by its path (`metadataOptions.httpTokens`); null counts as absent."""
        value: Any = self.properties
        for step in path.split("."):
            value = value.get(step) if hasattr(value, "get") else None
            if value is None:
                return default
        return value

    def seen(self, path: str, ok: bool, value: Any = None) -> Seen:
        """A statement on one property: what it is, and whether that is allowed."""
        found = self.get(path) if value is None else value
        return Seen(f"{self.type} {self.name}", path, "absent" if found is None else shown(found), ok)

    def digest(self) -> str:
        """Sha256 over the canonical JSON of type and properties: what exactly was judged."""
        content = json.dumps([self.type, plain(self.properties)], sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class Seen:
    """What a rule saw of one property of one resource."""

    resource: str
    property: str
    value: str
    ok: bool


def plain(value: Any) -> Any:
    """A value as JSON types, whatever mapping or sequence the front gives."""
    if isinstance(value, Mapping):
        return {key: plain(value[key]) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(one) for one in value]
    return value


def shown(value: Any) -> str:
    """A property's value as text: short enough to be read, JSON where it has a structure."""
    text = (
        value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False, sort_keys=True, default=str)
    )
    return text if len(text) <= 200 else f"{text[:197]}..."


def is_true(value: Any) -> bool:
    """Whether a property is on. Launch templates carry their booleans as text."""
    return value is True or value == "true"


def of_type(resources: Iterable[Resource], *types: str) -> Iterator[Resource]:
    """Those of the named types."""
    return (one for one in resources if one.type in types)
