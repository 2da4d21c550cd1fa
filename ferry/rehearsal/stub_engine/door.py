"""Where the stub engine listens."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from pathlib import Path

from ferry.rehearsal.stub_engine.connection import Connection
from ferry.rehearsal.stub_engine.engine import Engine
from ferry.rehearsal.stub_engine.port import bound

BACKLOG = 4096


class Door:
    """The engine's listening socket. While it is shut, its port stays the engine's: connections are refused."""

    def __init__(self, engine: Engine, port: int, tls: Path | None) -> None:
        self._engine = engine
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if self._tls and tls:
            self._tls.load_cert_chain(tls)
        self._connections: set[Connection] = set()
        self._keeper = bound(port)  # bound and not listening: the kernel refuses connections, and gives nobody the port
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[asyncio.Server] | None = None

    @property
    def port(self) -> int:
        """Where the engine listens."""
        port: int = self._keeper.getsockname()[1]
        return port

    def obey(self) -> None:
        """Open or shut, as the engine's behaviour says now."""
        if self._engine.behaviour.refuse:
            self._shut()
        elif self._listening is None:
            self._open()

    def _open(self) -> None:
        self._listening = bound(self.port)
        self._listening.listen(BACKLOG)  # from here on the kernel takes connections
        factory = functools.partial(Connection, self._engine.handle, self._connections, self._engine.name)
        loop = asyncio.get_running_loop()
        self._accepting = loop.create_task(loop.create_server(factory, sock=self._listening, ssl=self._tls))

    def _shut(self) -> None:
        if self._listening is None or self._accepting is None:
            return
        if self._accepting.done():
            self._accepting.result().close()
        else:
            self._accepting.cancel()
            self._listening.close()
        self._listening = self._accepting = None
        for connection in list(self._connections):
            connection.reset()
