"""A TCP proxy before an S3 server that resets, delays, cuts off, alters and refuses at random, by a seed."""

from __future__ import annotations

import itertools
import random
import socket
import struct
import threading
import time
from collections import Counter
from types import TracebackType

REFUSALS = {
    "internal-error": (500, "InternalError"),
    "slow-down": (503, "SlowDown"),
}


class FaultyProxy:
    """Decides once for each request: most pass. Use as a context manager; `faults` counts what was done."""

    def __init__(self, upstream: int, seed: int, rate: float = 0.2) -> None:
        self._upstream, self._chance, self._rate = upstream, random.Random(seed), rate
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self.faults: Counter[str] = Counter()
        self._next = itertools.cycle(["reset", "cut", "flip", "delay", *REFUSALS])

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _decide(self) -> tuple[str, float]:
        with self._lock:
            fault = "pass"
            if self._chance.random() < self._rate:
                fault = next(self._next)
            self.faults[fault] += 1
            return fault, self._chance.random()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, socket.create_connection(("127.0.0.1", self._upstream)) as server:
                from_client, from_server = client.makefile("rb"), server.makefile("rb")
                with from_client, from_server:
                    while self._exchange(client, from_client, server, from_server):
                        pass
        except OSError:
            return  # one of the two hung up

    def _exchange(self, client, from_client, server, from_server) -> bool:  # type: ignore[no-untyped-def]
        head, length, expects = _head(from_client)
        if not head:
            return False
        fault, share = self._decide()
        if fault == "delay":
            time.sleep(0.05 * share)
        if fault in REFUSALS:
            if not expects:
                from_client.read(length)
            status, code = REFUSALS[fault]
            body = f"<Error><Code>{code}</Code><Message>at random</Message></Error>".encode()
            answer = f"HTTP/1.1 {status} {code}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            client.sendall(answer + body)
            return False
        server.sendall(head)
        if expects:
            client.sendall(_head(from_server)[0])  # 100 Continue
        body = from_client.read(int(length * share) if fault == "reset" else length)
        method = head.split(b" ", 1)[0]
        if fault == "flip" and method == b"PUT" and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        server.sendall(body)
        if fault == "reset":
            return _reset(client)
        answer, length, _ = _head(from_server)
        content = b"" if method == b"HEAD" else from_server.read(length)
        if fault == "cut":  # the request was done, and its answer is lost on the way
            client.sendall((answer + content)[: int((len(answer) + len(content)) * share)])
            return _reset(client)
        client.sendall(answer + content)
        return b"connection: close" not in answer.lower()


def _reset(client: socket.socket) -> bool:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def _head(stream) -> tuple[bytes, int, bool]:  # type: ignore[no-untyped-def]
    lines = [stream.readline()]
    length, expects = 0, False
    while lines[-1] not in (b"", b"\r\n"):
        name, _, value = lines[-1].lower().partition(b":")
        if name == b"content-length":
            length = int(value)
        if name == b"transfer-encoding" and b"chunked" in value:
            raise AssertionError("a chunked message: teach the proxy to read it")
        expects = expects or (name == b"expect" and b"100-continue" in value)
        lines.append(stream.readline())
    return b"".join(lines), length, expects
