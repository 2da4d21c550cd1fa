from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

import ferry.rehearsal.handlers
from ferry.rehearsal.engine import values
from ferry.rehearsal.engine.provider import Provider, serve
from tests.conftest import import_all


class Engine:
    """What the engine asks a provider over gRPC, with its own messages."""

    def __init__(self, provider: Provider, stub: Any) -> None:
        self.provider = provider
        self.stub = stub

    @staticmethod
    def urn(token: str, name: str = "it") -> str:
        return f"urn:pulumi:qa::ferry::ferry:components:Thing${token}::{name}"

    def create(self, token: str, properties: dict[str, Any], name: str = "it", *, preview: bool = False) -> Any:
        made = self.stub.Create(
            provider_pb2.CreateRequest(
                urn=self.urn(token, name), properties=values.to_struct(properties), preview=preview
            )
        )
        return made.id, values.of_struct(made.properties)

    def diff(self, token: str, old: dict[str, Any], new: dict[str, Any], name: str = "it", **more: Any) -> Any:
        return self.stub.Diff(
            provider_pb2.DiffRequest(
                urn=self.urn(token, name), old_inputs=values.to_struct(old), news=values.to_struct(new), **more
            )
        )

    def update(
        self, token: str, id_: str, outputs: dict[str, Any], old: dict[str, Any], new: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        done = self.stub.Update(
            provider_pb2.UpdateRequest(
                id=id_,
                urn=self.urn(token),
                olds=values.to_struct(outputs),
                old_inputs=values.to_struct(old),
                news=values.to_struct(new),
                **more,
            )
        )
        return values.of_struct(done.properties)

    def read(self, token: str, id_: str, outputs: dict[str, Any], inputs: dict[str, Any]) -> Any:
        found = self.stub.Read(
            provider_pb2.ReadRequest(
                id=id_,
                urn=self.urn(token),
                properties=values.to_struct(outputs),
                inputs=values.to_struct(inputs),
            )
        )
        return found.id, values.of_struct(found.inputs), values.of_struct(found.properties)

    def delete(self, token: str, id_: str, outputs: dict[str, Any], inputs: dict[str, Any]) -> None:
        self.stub.Delete(
            provider_pb2.DeleteRequest(
                id=id_,
                urn=self.urn(token),
                properties=values.to_struct(outputs),
                old_inputs=values.to_struct(inputs),
            )
        )


@pytest.fixture
def engine(account: Any) -> Iterator[Engine]:
    import_all(ferry.rehearsal.handlers)
    provider = Provider(account, "7.0.0")
    server, port = serve(provider)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Engine(provider, provider_pb2_grpc.ResourceProviderStub(channel))
    server.stop(None).wait()


@pytest.fixture
def refused() -> Callable[[Callable[[], Any]], str]:
    """The message with which the provider answers a call that fails."""

    def call(ask: Callable[[], Any]) -> str:
        with pytest.raises(grpc.RpcError) as caught:
            ask()
        return str(caught.value.details())

    return call
