"""The policy pack under the real engine: what breaks a policy is refused before anything is created.

FERRY_SOAK=1 breaks each policy; without it three, one for each way in which the pack is asked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import ferry.rehearsal.handlers
from ferry.compliance import RULES, Resource
from ferry.errors import PolicyBroken, ProvisioningError
from ferry.provisioning.command import Command
from ferry.rehearsal import program, seeds
from ferry.rehearsal.engine import front
from ferry.rehearsal.engine.session import Session
from ferry.rehearsal.handlers import HANDLERS, Created, Handler
from ferry.render.stack_file import StackFile
from stacks.settings import PROJECT, Settings
from tests.conftest import import_all
from tests.fronts import census
from tests.secret_scan import files_in, found
from tests.unit.compliance.test_rules import BREAKS

pytestmark = pytest.mark.pulumi_cli

REPOSITORY = Path(__file__).resolve().parents[2]
BROKEN = [None, *(RULES if os.environ.get("FERRY_SOAK") else ("kms-key-rotates", "bucket-kept", "trail-watched"))]

REPLAY = """
import json
from pathlib import Path

import pulumi

for one in json.loads(Path("resources.json").read_text(encoding="utf-8")):
    pulumi.CustomResource(one["type"], one["name"], one["properties"], pulumi.ResourceOptions(protect=one["protected"]))
"""
"""Asks for resources as they are written down."""

Open = Callable[[Path, str], tuple[Session, dict[str, Any]]]


@pytest.fixture
def open_session(account_in: Callable[[str], Any], tmp_path: Path) -> Iterator[Open]:
    """A session of a project with the configuration of one of our stacks, which it also returns."""
    import_all(ferry.rehearsal.handlers)
    with ExitStack() as until_the_end:

        def open_(project: Path, environment: str) -> tuple[Session, dict[str, Any]]:
            config = dict(StackFile.read(REPOSITORY / "stacks" / f"Pulumi.{environment}.yaml").config)
            settings = Settings.from_config(config)
            account = account_in(settings.region)
            seeds.seed(account, settings)
            session = Session(tmp_path / "run", project, environment, account)
            until_the_end.callback(session.close)
            return session, config

        yield open_


def test_a_stack_that_breaks_a_policy_is_refused_and_nothing_is_created(open_session: Open, tmp_path: Path) -> None:
    session, config = open_session(REPOSITORY, "dev")
    account = session.provider.account
    before = census(account)
    open_to_all = config | {"ferry:gateway": {**config["ferry:gateway"], "allowed_cidrs": ["0.0.0.0/0"]}}
    refused = (
        r"\[no-ingress-from-anywhere\] Nobody comes in from just anywhere. "
        r"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule "
        r"ferry-gateway-from-0.0.0.0-0 has cidrIpv4 0.0.0.0/0: name the addresses, the security group or the prefix "
        r"list that may come in \(GB/T 22239-2019 [^)]*\)$"
    )
    with pytest.raises(PolicyBroken, match=f"^the engine refuses the stack: {refused}"):
        front.run(session, open_to_all)
    command = Command(session.workspace.work_dir, "dev", {**os.environ, **session.workspace.variables})
    with pytest.raises(ProvisioningError, match=f"^stack dev breaks a policy, nothing was changed: {refused}"):
        command.preview(tmp_path / "plan.json")
    assert census(account) == before
    assert session.resources() == {}


def test_a_shipped_stack_passes_the_pack_before_and_after_and_its_state_holds_no_secret(
    open_session: Open, tmp_path: Path
) -> None:
    session, config = open_session(REPOSITORY, "dev")
    _, checks = front.run(session, config)
    assert [(one.name, one.found) for one in checks] == [
        ("the engine asked the policy pack", "ferry 0.1.0"),
        ("what was applied is what was planned", "no change"),
        ("a second up changes nothing", "no change"),
    ]
    state = files_in(tmp_path / "run" / "state")
    assert max(file.stat().st_size for file in state) > 100_000
    assert found(state) == []


@pytest.mark.parametrize("rule", BROKEN)
def test_the_engine_refuses_a_stack_that_breaks_a_policy_by_that_policy_alone(
    open_session: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str | None
) -> None:
    project = tmp_path / "replay"
    project.mkdir()
    (project / "policies").symlink_to(REPOSITORY / "policies")
    (project / "__main__.py").write_text(REPLAY, encoding="utf-8")
    (project / "resources.json").touch()
    session, config = open_session(project, "prod-cn")
    resources = program.forecast(REPOSITORY, PROJECT, "prod-cn", config, session.provider.account)
    broken = BREAKS[rule](resources) if rule else resources
    for one in broken:  # the rehearsal refuses what it has no handler for; here the policy has to
        if one.type not in HANDLERS:
            monkeypatch.setitem(HANDLERS, one.type, Handler(lambda account, inputs: Created("none")))
    (project / "resources.json").write_text(json.dumps([written(one) for one in broken]), encoding="utf-8")
    assert refusals(session, config) == ([rule] if rule else [])


def written(one: Resource) -> dict[str, Any]:
    """Its id is given, as everything else that the forecast knows and a preview of the program does not."""
    properties = {**one.properties, "id": one.id}
    return {"type": one.type, "name": one.name, "properties": properties, "protected": one.protected}


def refusals(session: Session, config: dict[str, Any]) -> list[str]:
    try:
        session.preview(config)
    except PolicyBroken as refused:
        return [rule for rule in RULES if f"[{rule}] " in str(refused)]
    return []
