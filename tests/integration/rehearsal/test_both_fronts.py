"""Both fronts leave the same account: the provider over gRPC, without the CLI, beside the in-process front.

The same, with the CLI: tests/e2e/test_engine.py.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

import ferry.rehearsal.checks
import ferry.rehearsal.handlers
from ferry.rehearsal import program, seeds
from ferry.rehearsal.checks import Stack
from ferry.rehearsal.engine import values
from ferry.rehearsal.engine.provider import Provider, serve
from ferry.rehearsal.handlers import HANDLERS, Account, Created, Inputs
from ferry.render.stack_file import StackFile
from stacks.settings import PROJECT, Settings
from tests.accounts import differences, told

REPOSITORY = Path(__file__).resolve().parents[3]
STACKS = ("dev", "staging", "prod", "prod-cn") if os.environ.get("FERRY_SOAK") else ("prod-cn",)


@pytest.mark.parametrize("environment", STACKS)
def test_both_fronts_answer_every_question_of_the_checks_alike(
    rehearsed: Callable[[str], Any],
    account_in: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
) -> None:
    for package in (ferry.rehearsal.handlers, ferry.rehearsal.checks):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    in_process = rehearsed(environment)
    config = StackFile.read(REPOSITORY / "stacks" / f"Pulumi.{environment}.yaml").config
    settings = Settings.from_config(config)
    account = account_in(settings.region)
    seeds.seed(account, settings)
    provider = Provider(account, "7.0.0")
    server, port = serve(provider)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        monkeypatch.setattr(program, "HANDLERS", {token: _by_the_provider(stub) for token in HANDLERS})
        done = program.run(REPOSITORY, PROJECT, environment, config, account)
    server.stop(None).wait()

    assert dict(provider.resources) == in_process.served.rehearsal.resources
    assert sorted(done.outputs) == sorted(in_process.served.rehearsal.outputs)
    assert provider.properties.items() <= {**in_process.served.properties}.items()
    by_the_provider = told(account, Stack(settings, done.outputs))
    assert len(by_the_provider) > 50
    assert differences(by_the_provider, told(in_process.account, in_process.stack)) == []


def _by_the_provider(stub: Any) -> Callable[[Account, Inputs], Created]:
    """In the place of a handler: the same inputs, asked of the provider as the engine does."""

    def create(account: Account, inputs: Inputs) -> Created:
        given = values.to_struct({key: _travelling(inputs.take(key)) for key in inputs.properties})
        urn = f"urn:pulumi:s::{PROJECT}::{inputs.type}::{inputs.name}"
        checked = stub.Check(provider_pb2.CheckRequest(urn=urn, news=given))
        made = stub.Create(provider_pb2.CreateRequest(urn=urn, properties=checked.inputs))
        return Created(made.id, values.plain(values.of_struct(made.properties)))

    return create


def _travelling(value: Any) -> Any:
    """Assets travel as what the SDK makes of them."""
    if type(value).__name__ == "FileAsset":
        return {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "path": str(value.path)}
    return value
