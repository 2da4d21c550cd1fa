"""What the engine says while it works, as data: the steps that it takes or would take, and why it stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ferry.artefacts import ResourceChange
from ferry.provisioning.policies import broken
from ferry.provisioning.preview import ACTIONS


@dataclass
class Steps:
    """Collects the events of one run of the engine."""

    changes: list[ResourceChange] = field(default_factory=list)
    """Of what stands in the account: neither components nor the engine's own resources."""
    errors: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Mandatory policies, each with the resource and the remedy."""
    packs: dict[str, str] = field(default_factory=dict)
    """The policy packs that were asked, to their versions."""

    def note(self, event: Any) -> None:
        """Take one event of `pulumi.automation`."""
        if event.resource_pre_event:
            self._step(event.resource_pre_event.metadata)
        elif event.diagnostic_event and event.diagnostic_event.severity == "error":
            said = " ".join(event.diagnostic_event.message.split()).removeprefix("error: ")
            self.errors.append(said)
        elif event.policy_event:
            policy = event.policy_event
            self.broken += broken(policy.policy_name, policy.enforcement_level, policy.message)
        elif event.summary_event:  # a local pack is called `name|local|path`
            self.packs = {name.partition("|")[0]: text for name, text in event.summary_event.policy_packs.items()}

    def _step(self, metadata: Any) -> None:
        operation = str(getattr(metadata.op, "value", metadata.op))
        state = metadata.new or metadata.old
        if operation in ACTIONS and state.custom and not metadata.type.startswith("pulumi:"):
            self.changes.append(
                ResourceChange(
                    action=operation,
                    type=metadata.type,
                    name=metadata.urn.rpartition("::")[2],
                    properties=sorted(metadata.detailed_diff or metadata.diffs or ()),
                )
            )
