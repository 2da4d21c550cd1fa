"""Clients of the gateway: requests at a constant rate, whatever becomes of the earlier ones (an open loop).

For a rehearsal and for tests, some hundred requests a second at most; a benchmark wants a compiled load generator.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event, Thread
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

import httptools

Outcome = Literal["answered", "refused", "truncated", "lost", "late"]
"""`answered`: 200 and whole, a stream with its `[DONE]`. `refused`: another status. `truncated`: begun and not whole.
`lost`: the connection ended, or could not be made, before an answer had begun. `late`: not over in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a client saw of one request."""

    number: int
    """Of the request, from 0; it is sent as the header x-load-number."""
    sent_s: float
    """Seconds after the load began."""
    seconds: float
    """Until its end."""
    streamed: bool
    outcome: Outcome
    status: int | None
    engine: str | None
    """The stub engine that answered."""
    retry_after: str | None


class Load:
    """Sends requests from its context's start until `stop`, or the context's end, one at least; each third as a stream.

    `headers` is called for each request: tokens expire. `answers` grows in the order in which requests end.
    """

    def __init__(
        self,
        url: str,
        *,
        requests_per_second: float,
        tokens: int = 8,
        timeout_s: float = 30.0,
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._interval_s = 1 / requests_per_second
        self._tokens = tokens
        self._timeout_s = timeout_s
        self._headers = headers
        self._idle: deque[_Connection] = deque()
        self._ended = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._send()), name="load", daemon=True)
        self.answers: list[Answer] = []
        self.began_at = 0.0
        """In seconds of `time.monotonic`, the clock that the answers' times count from."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more, and wait for what is under way."""
        self._ended.set()
        self._thread.join()

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        began = self.began_at = loop.time()
        under_way: set[asyncio.Task[None]] = set()
        number = 0
        while True:
            await asyncio.sleep(max(0.0, began + number * self._interval_s - loop.time()))
            task = loop.create_task(self._ask(number, began))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
            if self._ended.is_set():
                break
        if under_way:
            await asyncio.gather(*under_way)
        for connection in self._idle:
            connection.close()

    async def _ask(self, number: int, began: float) -> None:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        streamed = number % 3 == 0
        connection: _Connection | None = None
        outcome: Outcome = "lost"
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connection()
                connection.ask(self._request(number, streamed))
                await connection.ended
                outcome = connection.outcome(streamed)
        except TimeoutError:
            outcome = "late"
        except OSError:
            pass
        seen = connection.headers if connection else {}
        self.answers.append(
            Answer(
                number=number,
                sent_s=sent - began,
                seconds=loop.time() - sent,
                streamed=streamed,
                outcome=outcome,
                status=connection.status if connection else None,
                engine=seen.get("x-stub-engine"),
                retry_after=seen.get("retry-after"),
            )
        )
        if connection and connection.reusable:
            self._idle.append(connection)
        elif connection:
            connection.close()

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(_Connection, self._host, self._port))[1]

    def _request(self, number: int, streamed: bool) -> bytes:
        body = {"model": "stub-model", "messages": [{"role": "user", "content": f"request {number}"}]}
        asked = json.dumps(body | {"max_tokens": self._tokens, "stream": streamed}).encode()
        lines = {
            "host": f"{self._host}:{self._port}",
            "content-type": "application/json",
            "content-length": str(len(asked)),
            "x-load-number": str(number),
            **self._headers(),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + asked


class _Connection(asyncio.Protocol):
    """A connection to the gateway, one request at a time."""

    def __init__(self) -> None:
        self.open = False

    def ask(self, request: bytes) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.ended = asyncio.get_running_loop().create_future()
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self._body = bytearray()
        self._whole = False
        self._transport.write(request)

    def close(self) -> None:
        self._transport.abort()

    def outcome(self, streamed: bool) -> Outcome:
        if self.status is None:
            return "lost"
        if self.status != 200:
            return "refused" if self._whole else "truncated"
        whole = self._whole and (not streamed or self._body.endswith(b"data: [DONE]\n\n"))
        return "answered" if whole else "truncated"

    @property
    def reusable(self) -> bool:
        return self.open and self._whole and self._parser.should_keep_alive()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._end()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        self._whole = True
        self._end()

    def _end(self) -> None:
        if hasattr(self, "ended") and not self.ended.done():
            self.ended.set_result(None)
