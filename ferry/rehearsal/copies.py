"""Copies of the account as it is now, for whoever wants to break something: forks of the server's process.

A fork has all of moto's state at the price of a few milliseconds, and what is changed in it is changed nowhere else.
It is made by the main thread while no request is being answered.
"""

from __future__ import annotations

import os
from typing import Any, TextIO

from ferry.rehearsal.server import Server


class Copies:
    """The forks of this process. Each ends when the write end of its pipe, which this process holds, is closed."""

    def __init__(self, server: Server, answers: TextIO) -> None:
        self._server = server
        self._answers = answers
        self._alive: dict[int, int] = {}

    def make(self) -> dict[str, Any]:
        """Fork, and say where the copy listens."""
        until_closed, held = os.pipe()
        endpoint, told = os.pipe()
        process = os.fork()
        if process == 0:
            self._be_a_copy(until_closed, told, [held, endpoint, *self._alive.values()])
        os.close(until_closed)
        os.close(told)
        with os.fdopen(endpoint, encoding="utf-8") as reader:
            endpoint_url = reader.read()
        self._alive[process] = held
        return {"say": "copied", "process": process, "endpoint_url": endpoint_url}

    def drop(self, process: int) -> dict[str, Any]:
        """End a copy and wait for it."""
        os.close(self._alive.pop(process))
        os.waitpid(process, 0)
        return {"say": "dropped"}

    def _be_a_copy(self, until_closed: int, told: int, foreign: list[int]) -> None:
        for descriptor in (*foreign, self._answers.fileno()):
            os.close(descriptor)
        self._server.listen_again()
        with os.fdopen(told, "w", encoding="utf-8") as writer:
            writer.write(self._server.endpoint_url)
        os.read(until_closed, 1)
        os._exit(0)
