"""The resource provider that the engine talks to: the protocol on one side, the table of handlers on the other.

https://github.com/pulumi/pulumi/blob/master/proto/pulumi/provider.proto
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any

import grpc
from botocore.exceptions import ClientError
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from ferry.artefacts import NotEmulated
from ferry.errors import RehearsalError, UnknownResource
from ferry.rehearsal.engine import changes, drift, values
from ferry.rehearsal.engine.tokens import Tokens
from ferry.rehearsal.handlers import (
    HANDLERS,
    INVOKES,
    REPLACING,
    Absent,
    Account,
    Fate,
    Handler,
    Inputs,
    State,
    tagging,
)
from ferry.rehearsal.program import one_line

GONE = re.compile(r"NotFound|NoSuch|NotExist|^404$")
"""Codes of AWS's errors for what is not there; each service has its own, and a HEAD request only the status."""

Progress = Callable[[int, str], None]
Struct = Any


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Stands where `pulumi-resource-aws` stands, for one embedded account."""

    def __init__(self, account: Account, version: str, progress: Progress | None = None) -> None:
        self.account = account
        self.resources: Counter[str] = Counter()
        self.properties: dict[str, dict[str, Fate]] = {}
        self.not_emulated: dict[str, list[NotEmulated]] = {}
        """By URN, since a resource may be created, changed and deleted in turn."""
        self._version = version
        self._progress = progress
        self._replaced: set[str] = set()
        self._cancelled = False
        self._tokens = Tokens(account)
        self._lock = Lock()

    # ---- about the provider itself -------------------------------------------------------------------------------

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self._version)

    def Handshake(self, request: Any, context: Any) -> Any:
        self._cancelled = False  # a new run of the engine
        return provider_pb2.ProviderHandshakeResponse()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse()

    def Configure(self, request: Any, context: Any) -> Any:
        with _answering(context, "aws"):
            given = request.variables.get("aws:config:region") or values.of_struct(request.args).get("region")
            if given != self.account.region:
                raise RehearsalError(
                    f"a provider for the region {given}: the embedded account is that of the stack's aws:region, "
                    f"{self.account.region}; name another region on the resource itself (`region`)"
                )
        # Without `acceptSecrets` the engine opens secrets before it asks, and closes what comes back under their names.
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Cancel(self, request: Any, context: Any) -> Empty:
        self._cancelled = True
        return Empty()

    # ---- about one resource --------------------------------------------------------------------------------------

    def Check(self, request: Any, context: Any) -> Any:
        with _answering(context, request.urn):
            _handler(request.urn)
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:
        token, name = parts(request.urn)
        self._tokens.written_down(request.urn)
        with _answering(context, request.urn):
            change = changes.between(
                token, name, _inputs(request.old_inputs), _inputs(request.news), request.ignoreChanges
            )
        if change.replacing:
            self._replaced.add(request.urn)
        kinds = provider_pb2.PropertyDiff
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if change.changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=sorted(change.changed),
            replaces=sorted(change.replacing),
            deleteBeforeReplace=change.delete_first,
            detailedDiff={
                key: kinds(kind=kinds.UPDATE_REPLACE if key in change.replacing else kinds.UPDATE, inputDiff=True)
                for key in change.changed
            },
            hasDetailedDiff=True,
        )

    def Create(self, request: Any, context: Any) -> Any:
        token, name = parts(request.urn)
        given = values.of_struct(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        with _answering(context, request.urn):
            self._not_cancelled()
            # A new name for what replaces something, since both are there for a while.
            known = {REPLACING: request.urn} if request.urn in self._replaced else {}
            inputs = self._handed_out(token, name, given, known)
            created = HANDLERS[token](self._tokens.account_for(request.urn), inputs)
            self._note(request.urn, inputs)
        outputs = self._kept_beside(created.id, given) | dict(created.outputs)
        return provider_pb2.CreateResponse(id=created.id, properties=values.to_struct(given | outputs))

    def Read(self, request: Any, context: Any) -> Any:
        self._tokens.written_down(request.urn)
        with _answering(context, request.urn):
            state = _state(request.urn, request.id, request.inputs, request.properties)
            read = _handler(request.urn).read
            if read is None:
                if not state.inputs:
                    raise UnknownResource(f"{state.type} {state.name}: importing one is not rehearsed")
                return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)
            try:
                found = read(self.account, state)
            except (ClientError, Absent) as error:
                if _is_gone(error):
                    return provider_pb2.ReadResponse()
                raise
        old, outputs = values.of_struct(request.inputs), values.of_struct(request.properties)
        inputs = drift.adopted(old, found) if old else drift.imported(found)
        return provider_pb2.ReadResponse(
            id=request.id,
            properties=values.to_struct(
                outputs | self._kept_beside(request.id, inputs) | drift.adopted(outputs, found) | inputs
            ),
            inputs=values.to_struct(inputs),
        )

    def Update(self, request: Any, context: Any) -> Any:
        token, name = parts(request.urn)
        handler = HANDLERS[token]
        given, outputs = values.of_struct(request.news), values.of_struct(request.olds)
        if request.preview:
            moved = dict.fromkeys(handler.moves, values.UNKNOWN)
            return provider_pb2.UpdateResponse(properties=values.to_struct(_kept(request) | given | moved))
        with _answering(context, request.urn):
            self._not_cancelled()
            old = _state(request.urn, request.id, request.old_inputs, request.olds)
            inputs = self._handed_out(token, name, given, outputs)
            changed = changes.between(token, name, _inputs(request.old_inputs), values.plain(given)).changed
            moved = self._updated(handler, old, inputs, changed)
        return provider_pb2.UpdateResponse(properties=values.to_struct(_kept(request) | given | moved))

    def _updated(self, handler: Handler, old: State, inputs: Inputs, changed: frozenset[str]) -> dict[str, Any]:
        moved: dict[str, Any] = {}
        if handler.again and changed - {"tags"}:
            moved |= handler(self.account, inputs).outputs
            inputs.finish()
        if handler.update and changed & handler.updatable:
            moved |= handler.update(self.account, old, inputs)
        if "tags" in changed and "tags" not in handler.updatable and old.type in tagging.TAGGED:
            tagging.retag(self.account, old, inputs.take("tags", {}))
        return moved

    def Delete(self, request: Any, context: Any) -> Empty:
        self._tokens.written_down(request.urn)
        with _answering(context, request.urn):
            self._not_cancelled()
            delete = _handler(request.urn).delete
            token, name = parts(request.urn)
            if delete is None:
                raise UnknownResource(
                    f"{token} {name}: no handler deletes this type; add it to ferry/rehearsal/handlers"
                )
            try:
                delete(self.account, _state(request.urn, request.id, request.old_inputs, request.properties))
            except (ClientError, Absent) as error:
                if not _is_gone(error):
                    raise
            with self._lock:
                self.resources[token] -= 1
                self.not_emulated.pop(request.urn, None)
        return Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        with _answering(context, request.tok):
            if request.tok not in INVOKES:
                raise UnknownResource(f"{request.tok}: no answer to this call; add it to ferry/rehearsal/handlers")
            inputs = Inputs(request.tok, "", _inputs(request.args), [])
            answer = INVOKES[request.tok](self.account, inputs)
            inputs.finish()
            with self._lock:
                self.properties.setdefault(inputs.type, {}).update(inputs.fates())
        return provider_pb2.InvokeResponse(**{"return": values.to_struct(answer)})

    # ---- what it keeps -------------------------------------------------------------------------------------------

    def _handed_out(self, token: str, name: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> Inputs:
        return Inputs(token, name, values.plain(given), [], known=known)

    def _note(self, urn: str, inputs: Inputs) -> None:
        inputs.finish()
        with self._lock:
            self.resources[inputs.type] += 1
            self.not_emulated[urn] = inputs.not_emulated
            self.properties.setdefault(inputs.type, {}).update(inputs.fates())
            count = self.resources.total()
        if self._progress:
            self._progress(count, f"{inputs.type} {inputs.name}")

    def _kept_beside(self, id_: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the official plugin keeps among the outputs, too; policies know a resource by its id there."""
        return {"id": id_, "region": str(given.get("region") or self.account.region)}

    def _not_cancelled(self) -> None:
        if self._cancelled:
            raise RehearsalError("cancelled; `pulumi up` again does the rest")


def parts(urn: str) -> tuple[str, str]:
    """Type token and name of a resource."""
    _, _, kinds, name = urn.split("::", 3)
    return kinds.rpartition("$")[2], name


def _handler(urn: str) -> Handler:
    token, name = parts(urn)
    if token not in HANDLERS:
        raise UnknownResource(f"{token} {name}: no handler for this type; add it to ferry/rehearsal/handlers")
    return HANDLERS[token]


def _inputs(struct: Struct) -> dict[str, Any]:
    """Inputs to be compared: assets as they travel, with their hashes, so that a changed file is a change."""
    return values.of_struct(struct)


def _state(urn: str, id_: str, inputs: Struct, outputs: Struct) -> State:
    token, name = parts(urn)
    return State(token, name, id_, values.plain(values.of_struct(inputs)), values.plain(values.of_struct(outputs)))


def _kept(request: Any) -> dict[str, Any]:
    """The outputs that are not simply inputs: an update keeps them."""
    given = values.of_struct(request.old_inputs)
    return {key: value for key, value in values.of_struct(request.olds).items() if key not in given}


def _is_gone(error: Exception) -> bool:
    return isinstance(error, Absent) or (
        isinstance(error, ClientError) and bool(GONE.search(error.response["Error"]["Code"]))
    )


@contextmanager
def _answering(context: grpc.ServicerContext, what: str) -> Iterator[None]:
    """What fails inside is the answer, with the name of the resource."""
    try:
        yield
    except Exception as error:
        said = (
            str(error)
            if isinstance(error, RehearsalError)
            else f"{' '.join(parts(what)) if '::' in what else what}: {one_line(error)}"
        )
        context.abort(grpc.StatusCode.UNKNOWN, said)


def serve(provider: Provider) -> tuple[grpc.Server, int]:
    """Listen on loopback, and say on which port."""
    server = grpc.server(ThreadPoolExecutor(16, "provider"))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port
