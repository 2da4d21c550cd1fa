"""A stack that breaks a policy is refused before anything is created."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ferry.errors import PolicyBroken
from ferry.rehearsal import handlers, policies, seeds
from ferry.render.stack_file import StackFile
from tests.conftest import import_all

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def dev() -> dict[str, Any]:
    import_all(handlers)
    return dict(StackFile.read(ROOT / "stacks" / "Pulumi.dev.yaml").config)


def test_a_broken_policy_ends_the_rehearsal_before_a_create_call(account: Any, dev: dict[str, Any]) -> None:
    seeds.seed(account, StackFile.read(ROOT / "stacks" / "Pulumi.dev.yaml").settings())
    gateway = {**dev["ferry:gateway"], "allowed_cidrs": ["0.0.0.0/0"]}
    with pytest.raises(PolicyBroken) as raised:
        policies.hold(ROOT, "dev", dev | {"ferry:gateway": gateway}, account)
    assert str(raised.value) == (
        "stack dev breaks 1 of 51 policies: [no-ingress-from-anywhere] Nobody comes in from just anywhere, but "
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule ferry-gateway-from-0.0.0.0-0 has cidrIpv4 "
        "0.0.0.0/0: name the addresses, the security group or the prefix list that may come in"
    )
    assert account.client("s3").list_buckets()["Buckets"] == []
    assert account.client("kms").list_keys()["Keys"] == []


def test_a_project_without_a_policy_pack_has_no_policies(account: Any, dev: dict[str, Any], tmp_path: Path) -> None:
    assert policies.hold(tmp_path, "dev", dev, account) == []
