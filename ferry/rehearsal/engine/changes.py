"""What a change of a resource's inputs means: nothing, an update, a replacement, or that Ferry does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ferry.errors import UnknownProperty
from ferry.rehearsal.handlers import HANDLERS, Handler
from ferry.rehearsal.handlers.tagging import TAGGED

NAMES = ("name", "bucket", "dashboardName", "scheduledActionName", "targetId")
"""The properties that a provider would fill in with a name. Two resources cannot have one name at the same time."""

SINGLE = frozenset({"aws:ec2/routeTableAssociation:RouteTableAssociation", "aws:ec2/route:Route"})
"""Types of which AWS refuses a second one for the same subnet or destination: `AlreadyAssociated`, `AlreadyExists`."""


@dataclass(frozen=True)
class Change:
    """The properties whose values differ, and which of them AWS cannot change in place."""

    changed: frozenset[str] = frozenset()
    replacing: frozenset[str] = frozenset()
    delete_first: bool = False


def between(
    token: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any], ignored: Iterable[str] = ()
) -> Change:
    """Compare a resource's inputs. What a preview does not know differs from every value, as it may.

    Raises UnknownProperty when a property changes of which it is not known whether AWS can do that.
    """
    handler = HANDLERS[token]
    changed = frozenset(key for key in {*old, *new} - set(ignored) if old.get(key) != new.get(key))
    replacing = changed & handler.fixed
    if not replacing and (unknown := sorted(key for key in changed if not _updatable(token, handler, key))):
        raise UnknownProperty(
            f"{token} {name}: how AWS changes {', '.join(unknown)} is not known here; add it to the type's `fixed` or "
            "`@updates` in ferry/rehearsal/handlers"
        )
    named = any(given in new and old.get(given) == new[given] for given in NAMES)
    return Change(changed, replacing, bool(replacing) and (named or token in SINGLE))


def _updatable(token: str, handler: Handler, key: str) -> bool:
    return handler.again or key in handler.updatable or (key == "tags" and token in TAGGED)
