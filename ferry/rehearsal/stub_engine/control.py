"""The stub engine's control endpoint, on a port of its own, so that it answers while the engine refuses connections.

GET /behaviour      PATCH /behaviour  {"error_rate": 0.02}      PUT /behaviour  {}  (defaults for what is not named)
GET /counts         DELETE /counts
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from http import HTTPStatus

from ferry.errors import InvalidField
from ferry.rehearsal.stub_engine.behaviour import Behaviour
from ferry.rehearsal.stub_engine.connection import Connection, Request
from ferry.rehearsal.stub_engine.engine import Engine


class Control:
    """Of one engine. `on_change` is called after each change of the behaviour, before that is answered."""

    def __init__(self, engine: Engine, on_change: Callable[[], None]) -> None:
        self._engine = engine
        self._on_change = on_change

    async def handle(self, request: Request, connection: Connection) -> None:
        """Answer one request."""
        try:
            match (request.method, request.path):
                case ("GET", "/behaviour"):
                    pass
                case ("PATCH", "/behaviour"):
                    self._behave(self._engine.behaviour, request.body)
                case ("PUT", "/behaviour"):
                    self._behave(Behaviour(), request.body)
                case ("GET", "/counts"):
                    connection.whole(HTTPStatus.OK, json.dumps(self._engine.counts.as_dict()).encode())
                    return
                case ("DELETE", "/counts"):
                    self._engine.counts.clear()
                    connection.whole(HTTPStatus.OK, b"{}")
                    return
                case _:
                    connection.whole(HTTPStatus.NOT_FOUND, f"{request.method} {request.path} is not here".encode())
                    return
        except (InvalidField, ValueError) as error:
            connection.whole(HTTPStatus.BAD_REQUEST, str(error).encode(), "text/plain")
            return
        connection.whole(HTTPStatus.OK, json.dumps(dataclasses.asdict(self._engine.behaviour)).encode())

    def _behave(self, before: Behaviour, body: bytes) -> None:
        changes = json.loads(body)
        if not isinstance(changes, dict):
            raise InvalidField("the body is no JSON object")
        self._engine.behaviour = before.changed(changes)
        self._on_change()
