"""The child process of a rehearsal, seen from its parent: one JSON line asked, one or more answered."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ferry import errors
from ferry.errors import RehearsalError
from ferry.rehearsal.environment import isolated

Message = Mapping[str, Any]

LIMIT_SECONDS = 300.0
"""A rehearsal takes seconds. One that says nothing for minutes waits for something that never comes."""

GRACE_SECONDS = 5.0


class Child:
    """`python -m ferry.rehearsal.child` in the project's folder: the program finds there what Pulumi would let it find.

    It ends with its standard input, so it outlives neither this object's context nor the parent, however that dies.
    It has a session of its own: Ctrl-C reaches the parent alone, which then closes the context.
    """

    def __init__(self, project: Path) -> None:
        answers, childs_answers = os.pipe()
        self._answers = answers
        self._received = b""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        try:
            self._process = subprocess.Popen(  # noqa: S603 (this interpreter, this package)
                [sys.executable, "-m", "ferry.rehearsal.child", str(childs_answers)],
                cwd=project,
                env=isolated(os.environ),
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[childs_answers],
                start_new_session=True,
            )
        finally:
            os.close(childs_answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(BrokenPipeError):  # it may have ended by itself
            self._requests.close()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._answers)
        self._log.close()

    def ask(self, request: Message, on_progress: Callable[[Message], object] = lambda message: None) -> Message:
        """Send a request and wait for its answer.

        Raises the FerryError that the child names, or RehearsalError when it has ended or gives no sign of life.
        """
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except BrokenPipeError:
            raise self._ended() from None
        while True:
            message = self._next()
            if message["say"] == "failed":
                raise getattr(errors, message["error"], RehearsalError)(message["message"])
            if message["say"] != "created":
                return message
            on_progress(message)

    @property
    def _requests(self) -> Any:
        return self._process.stdin

    def _next(self) -> Message:
        silent_until = time.monotonic() + LIMIT_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            while b"\n" not in self._received:
                if not selector.select(silent_until - time.monotonic()):
                    raise RehearsalError(f"the program created nothing for {LIMIT_SECONDS:.0f} s and did not end")
                part = os.read(self._answers, 65536)
                if not part:
                    raise self._ended()
                self._received += part
        line, _, self._received = self._received.partition(b"\n")
        message: Message = json.loads(line)
        return message

    def _ended(self) -> RehearsalError:
        code = self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
        return RehearsalError(f"the rehearsal's process ended with status {code}: {said[-1]}")
