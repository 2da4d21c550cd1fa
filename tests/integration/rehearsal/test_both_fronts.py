"""Both fronts leave the same account: the provider over gRPC, without the CLI, beside the in-process front.

The same, with the CLI: tests/e2e/test_engine.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from pulumi.runtime.proto import provider_pb2

from ferry.rehearsal import Served, program, seeds
from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.checks import Stack
from ferry.rehearsal.handlers import HANDLERS
from ferry.render.stack_file import StackFile
from stacks.settings import PROJECT, Settings
from tests.accounts import differences, told
from tests.fronts import Made, by_the_provider, census, provider_of
from tests.secret_scan import found

REPOSITORY = Path(__file__).resolve().parents[3]
STACKS = ("dev", "staging", "prod", "prod-cn") if os.environ.get("FERRY_SOAK") else ("prod-cn",)

Same = Callable[[Path, str, Served], None]


@pytest.fixture
def same(account_in: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Same:
    """Make a stack by the provider, read it, and hold it against what the in-process front left."""

    def compare(project: Path, environment: str, in_process: Served) -> None:
        config = StackFile.read(project / "stacks" / f"Pulumi.{environment}.yaml").config
        settings = Settings.from_config(config)
        account = account_in(settings.region)
        seeds.seed(account, settings)
        before = census(account)
        monkeypatch.chdir(project)
        with provider_of(account) as (provider, stub):
            made: list[Made] = []
            monkeypatch.setattr(program, "HANDLERS", dict.fromkeys(HANDLERS, by_the_provider(stub, made)))
            done = program.run(project, PROJECT, environment, config, account)
            created = dict(provider.resources)
            by_the_provider_told, counted = told(account, Stack(settings, done.outputs)), census(account)
            assert [one.urn for one in made if not _reads_as_it_was_made(stub, one)] == []
            if settings.node_bundle is None:  # else the model bucket holds an object under lock, and stays
                _take_down(stub, account, made)
                assert census(account) == before

        other = EmbeddedAccount(in_process.endpoint_url, settings.region)
        assert created == in_process.rehearsal.resources
        assert sorted(done.outputs) == sorted(in_process.rehearsal.outputs)
        assert provider.properties.items() <= {**in_process.properties}.items()
        assert counted == census(other)
        assert len(by_the_provider_told) > 50
        told_in_process = told(other, Stack(settings, in_process.rehearsal.outputs))
        assert differences(by_the_provider_told, told_in_process) == []
        assert found([_state(made, tmp_path / "state.json")]) == []

    return compare


@pytest.mark.parametrize("environment", STACKS)
def test_both_fronts_leave_the_same_account_which_reads_as_it_was_made_and_can_be_taken_down(
    rehearsed: Callable[[str], Any], same: Same, environment: str
) -> None:
    same(REPOSITORY, environment, rehearsed(environment).served)


def test_so_do_they_with_a_gateway_in_the_cloud_and_all_else_that_a_stack_may_leave_out(
    full_project: Path, full_stack: tuple[Served, Stack], same: Same
) -> None:
    same(full_project, "site", full_stack[0])


def _reads_as_it_was_made(stub: Any, made: Made) -> bool:
    request = provider_pb2.ReadRequest(id=made.id, urn=made.urn, inputs=made.inputs, properties=made.outputs)
    found = stub.Read(request)
    return bool(found.id == made.id and found.inputs == made.inputs)


def _take_down(stub: Any, account: Any, made: list[Made]) -> None:
    """In the reverse order, as the engine does, once protection is off and the access logs are deleted."""
    elbv2 = account.client("elbv2")
    for balancer in elbv2.describe_load_balancers()["LoadBalancers"]:
        elbv2.modify_load_balancer_attributes(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}],
        )
    s3 = account.client("s3")
    for one in reversed(made):
        if one.urn.endswith("bucket:Bucket::ferry-access-logs-bucket"):  # logs are written to the last moment
            for version in s3.list_object_versions(Bucket=one.id).get("Versions", []):
                s3.delete_object(Bucket=one.id, Key=version["Key"], VersionId=version["VersionId"])
        stub.Delete(provider_pb2.DeleteRequest(id=one.id, urn=one.urn, old_inputs=one.inputs, properties=one.outputs))


def _state(made: list[Made], path: Path) -> Path:
    """What the engine would write into its state, as it would."""
    resources = [
        {
            "urn": one.urn,
            "id": one.id,
            "inputs": json_format.MessageToDict(one.inputs),
            "outputs": json_format.MessageToDict(one.outputs),
        }
        for one in made
    ]
    path.write_text(json.dumps(resources, indent=4), encoding="utf-8")
    return path
