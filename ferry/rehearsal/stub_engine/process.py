"""The stub engine as a process, seen from outside."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ferry.errors import InvalidField, RehearsalError
from ferry.rehearsal.stub_engine.behaviour import Behaviour
from ferry.rehearsal.stub_engine.port import bound

GRACE_SECONDS = 5.0

ROOT = Path(__file__).resolve().parents[3]
"""Where this very `ferry` lies: with `-m`, Python looks into its working folder first."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a stub engine has counted since it started or was last cleared."""

    requests: int
    distinct: int
    """Of their x-request-id."""
    repeated: Mapping[str, int]
    """x-request-id to how often it came, where that is more than once."""
    answered: int
    error: int
    cut: int
    hung: int
    left: int
    """The client, or the gateway in between, went away before the end."""


class StubEngine:
    """A running stub engine, ended with its context or with this process.

    `port` 0: a free one, which `kill` and `start` keep. Further keywords: a behaviour's values.
    Raises RehearsalError where it does not start, InvalidField for values that a behaviour cannot have.
    """

    def __init__(
        self,
        name: str = "stub",
        *,
        port: int = 0,
        model: str = "stub-model",
        seed: int = 0,
        journal: Path | None = None,
        tls: Path | None = None,
        **behaviour: Any,
    ) -> None:
        Behaviour().changed(behaviour)
        self.name = name
        self.port = port
        self.journal = journal.absolute() if journal else None
        self.tls = tls.absolute() if tls else None
        self._model = model
        self._seed = seed
        self._behaviour = behaviour
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        try:
            self.start()
        except RehearsalError:
            self._log.close()
            raise
        self._keeper = bound(self.port)  # while the process is dead, the port is given to nobody else

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._keeper.close()
        self._log.close()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def start(self) -> None:
        """Start it, again after `kill` or `close`: on its port, with the behaviour that it was first started with."""
        options = {"name": self.name, "port": self.port, "model": self._model, "seed": self._seed}
        options |= {"journal": self.journal, "tls": self.tls} | self._behaviour
        arguments = [
            f"--{name.replace('_', '-')}" if value is True else f"--{name.replace('_', '-')}={value}"
            for name, value in options.items()
            if value is not None and value is not False
        ]
        self._process = subprocess.Popen(  # noqa: S603 (this interpreter, this package)
            [sys.executable, "-m", "ferry.rehearsal.stub_engine", "--end-with-stdin", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101
        with self._process.stdout as said:
            line = said.readline()
        if not line:
            self.close()
            self._log.seek(0)
            why = self._log.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise RehearsalError(f"the stub engine {self.name} did not start: {why[-1]}")
        ports = json.loads(line)
        self.port, self._control = ports["port"], f"http://127.0.0.1:{ports['control_port']}"

    def behave(self, **changes: Any) -> None:
        """Change its behaviour for the requests that come from now on. Raises InvalidField."""
        self._ask("PATCH", "/behaviour", changes)

    def recover(self, **behaviour: Any) -> None:
        """Behave as it was started, faults gone, but for what is given."""
        self._ask("PUT", "/behaviour", self._behaviour | behaviour)

    def seen(self) -> Seen:
        """What it has counted."""
        return Seen(**self._ask("GET", "/counts"))

    def forget(self) -> None:
        """Count from zero again."""
        self._ask("DELETE", "/counts")

    def kill(self) -> None:
        """Kill -9: nothing is finished, nothing is said."""
        self._process.kill()
        self._process.wait()
        self._stdin_closed()

    def close(self) -> None:
        """End it; it may have ended by itself."""
        self._stdin_closed()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def _stdin_closed(self) -> None:
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._control + path, data, method=method)  # noqa: S310 (loopback)
        try:
            with OPENER.open(request, timeout=GRACE_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise InvalidField(error.read().decode()) from None
        except OSError as error:
            raise RehearsalError(f"the stub engine {self.name} does not answer: {error}") from None


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Reaches the loopback whatever proxy the environment names."""
