"""What the rules saw, as an artefact keeps it."""

from __future__ import annotations

from collections.abc import Sequence

from ferry.artefacts import PolicyAnswer, PolicySeen
from ferry.compliance.resource import Context, Resource
from ferry.compliance.rule import answers


def judged(resources: Sequence[Resource], context: Context) -> list[PolicyAnswer]:
    """What every rule saw, each with the sha256 of the resource as it was judged.

    A statement on the whole stack has the sha256 over the digests of all resources.
    """
    digests = {f"{one.type} {one.name}": one.digest() for one in resources}
    whole = Resource("stack", context.environment, {"resources": sorted(digests.values())}).digest()
    return [
        PolicyAnswer(
            rule=answer.rule.id,
            seen=[
                PolicySeen(
                    resource=one.resource,
                    property=one.property,
                    value=one.value,
                    ok=one.ok,
                    sha256=digests.get(one.resource, whole),
                )
                for one in answer.seen
            ],
        )
        for answer in answers(resources, context)
    ]
