"""One client's connection to the stub engine: HTTP/1.1, parsed by llhttp (the parser of Node.js, through httptools)."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httptools

MOST_BYTES = 64 << 20
"""Of one request's body."""

LINGER_0 = struct.pack("ii", 1, 0)
"""Makes close send RST instead of FIN: tcp(7), SO_LINGER."""


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Handler = Callable[[Request, "Connection"], Awaitable[None]]
"""Answers one request by calling the connection. It is cancelled where the client goes away."""


class Connection(asyncio.Protocol):
    """Requests are answered one after the other in the order in which they came."""

    def __init__(self, handler: Handler, everybody: set[Connection], name: str) -> None:
        self._handler = handler
        self._everybody = everybody
        self._name = name
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._keep_alive = True
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._everybody.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone, and nobody waits for an answer any more."""
        self._everybody.discard(self)
        if self._answering:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep_alive = False
            self.whole(HTTPStatus.BAD_REQUEST, b"")
            self._transport.close()

    # Up to here asyncio calls, from here on the parser.

    def on_url(self, part: bytes) -> None:
        """A part of the request's target."""
        self._url += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        self._body += part
        if len(self._body) > MOST_BYTES:
            self._transport.abort()

    def on_message_complete(self) -> None:
        """A request is complete."""
        path = self._url.partition(b"?")[0].decode("latin-1")
        request = Request(self._parser.get_method().decode(), path, self._headers, bytes(self._body))
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._begin()
        if self._answering is None:
            self._next()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def _next(self) -> None:
        request, self._keep_alive = self._waiting.popleft()
        self._answering = asyncio.get_running_loop().create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            await self._handler(request, self)
        except Exception:
            self.reset()  # nobody waits for what a mistake of ours has ended
            raise
        self._answering = None
        if not self._keep_alive:
            self._transport.close()
        elif self._waiting:
            self._next()

    # What the handler calls.

    def whole(self, status: int, body: bytes, kind: str = "application/json", headers: str = "") -> None:
        """Answer in one piece. `headers`: further lines, each with its line end."""
        self._transport.write(self._head(status, kind, f"content-length: {len(body)}\r\n{headers}") + body)

    def half(self, body: bytes) -> None:
        """Begin to answer in one piece, and break off in its middle."""
        head = self._head(HTTPStatus.OK, "application/json", f"content-length: {len(body)}\r\n")
        self._transport.write(head + body[: len(body) // 2])

    def start(self, kind: str, first: bytes) -> None:
        """Begin an answer that is sent in parts, with its first."""
        self._transport.write(self._head(HTTPStatus.OK, kind, "transfer-encoding: chunked\r\n") + _chunk(first))

    def part(self, part: bytes) -> None:
        """Send a part."""
        self._transport.write(_chunk(part))

    def end(self, last: bytes = b"") -> None:
        """Send the last part, and end the answer."""
        self._transport.write((_chunk(last) if last else b"") + b"0\r\n\r\n")

    def reset(self) -> None:
        """Break the connection off with RST. What was written is sent before, as far as the kernel has taken it."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        self._transport.abort()

    def _head(self, status: int, kind: str, rest: str) -> bytes:
        keep = "" if self._keep_alive else "connection: close\r\n"
        phrase = HTTPStatus(status).phrase
        return (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: {kind}\r\nx-stub-engine: {self._name}\r\n{keep}{rest}\r\n"
        ).encode()


def _chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)
