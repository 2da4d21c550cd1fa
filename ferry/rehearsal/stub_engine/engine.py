"""The stub engine itself: answers requests as its behaviour says."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from random import Random

from ferry.errors import InvalidField
from ferry.rehearsal.stub_engine import answers
from ferry.rehearsal.stub_engine.answers import Asked
from ferry.rehearsal.stub_engine.behaviour import Behaviour, Fate
from ferry.rehearsal.stub_engine.connection import Connection, Request
from ferry.rehearsal.stub_engine.counts import COPY, Counts, End
from ferry.rehearsal.stub_engine.metrics import Metrics

COMPLETIONS = ("/v1/completions", "/v1/chat/completions")
RETRY_AFTER = "retry-after: 1\r\n"
MIRRORED_HEADER = "x-ferry-mirrored"
"""On the gateway's copies of requests, which carry the id of the request that they were made from."""


class Engine:
    """Of one process. Its random numbers are seeded: with one client, the same requests meet the same fates."""

    def __init__(self, *, name: str, model: str, seed: int, counts: Counts, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.counts = counts
        self.name = name
        self._model = model
        self._random = Random(seed)  # noqa: S311 (latencies, not secrets)
        self._metrics = Metrics(model)

    async def handle(self, request: Request, connection: Connection) -> None:
        """Answer one request."""
        if self.behaviour.cold:
            message = answers.error(503, "the model is being loaded", "ServiceUnavailableError")
            connection.whole(HTTPStatus.SERVICE_UNAVAILABLE, message, headers=RETRY_AFTER)
        elif request.path in COMPLETIONS:
            await self._complete(request, connection)
        elif request.path == "/health":
            connection.whole(HTTPStatus.OK, b"")
        elif request.path == "/metrics":
            connection.whole(HTTPStatus.OK, self._metrics.text(), "text/plain; version=0.0.4; charset=utf-8")
        elif request.path == "/v1/models":
            connection.whole(HTTPStatus.OK, answers.models(self._model))
        else:
            connection.whole(HTTPStatus.NOT_FOUND, answers.error(404, f"{request.path} is not here", "NotFoundError"))

    async def _complete(self, request: Request, connection: Connection) -> None:
        if request.method != "POST":
            connection.whole(HTTPStatus.METHOD_NOT_ALLOWED, answers.error(405, "POST it", "MethodNotAllowedError"))
            return
        try:
            asked = Asked.read(request.path, request.body)
        except InvalidField as error:
            connection.whole(HTTPStatus.BAD_REQUEST, answers.error(400, str(error), "BadRequestError"))
            return
        request_id = request.headers.get("x-request-id", "")
        if MIRRORED_HEADER in request.headers:
            request_id += COPY
        fate = self.behaviour.fate(self._random)
        self.counts.arrived(request_id)
        self._metrics.running.inc()
        end: End = "hung" if fate == "hung" else "left"
        try:
            await self._generate(asked, fate, request_id, connection)
            end = fate
        finally:
            self._metrics.running.dec()
            self.counts.ended(request_id, end)

    async def _generate(self, asked: Asked, fate: Fate, request_id: str, connection: Connection) -> None:
        behaviour = self.behaviour
        ttft_s, tpot_s = behaviour.times(self._random)
        loop = asyncio.get_running_loop()
        came = loop.time()
        if fate == "hung":
            await loop.create_future()
        await asyncio.sleep(ttft_s)
        if fate == "error":
            message = answers.error(behaviour.error_status, "made to fail", "InternalServerError")
            connection.whole(behaviour.error_status, message)
            return
        answer_id = f"{'chatcmpl' if asked.chat else 'cmpl'}-{request_id}"
        length = asked.tokens // 2 if fate == "cut" else asked.tokens
        if asked.stream:
            events = asked.events(answer_id, self.name)
            connection.start("text/event-stream; charset=utf-8", next(events))
            for index in range(1, length):
                if index == asked.tokens // 2:
                    came += behaviour.pause_ms / 1000
                await asyncio.sleep(max(0.0, came + ttft_s + index * tpot_s - loop.time()))
                connection.part(next(events))
        else:
            await asyncio.sleep((length - 1) * tpot_s + behaviour.pause_ms / 1000)
        if fate == "cut":
            if not asked.stream:
                connection.half(asked.whole(answer_id, self.name))
            if asked.stream and behaviour.truncated_by == "end":
                connection.end()
            else:
                connection.reset()
            return
        if asked.stream:
            connection.end(next(events))
        else:
            connection.whole(HTTPStatus.OK, asked.whole(answer_id, self.name))
        self._metrics.finished(asked.prompt_tokens, asked.tokens, ttft_s, loop.time() - came)
