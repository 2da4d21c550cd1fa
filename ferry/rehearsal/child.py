"""The rehearsal's own process: server, seeds, program, checks; then the account stays up until the parent lets go.

Started by `ferry.rehearsal.process` in the project's folder. Requests come in on standard input, one JSON line each;
answers go out on the file descriptor named in the first argument. The end of standard input ends the process, whatever
it is doing: when the parent is gone, however it went, nothing of a rehearsal stays behind.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TextIO

from ferry.compliance import Context, Resource, judged
from ferry.errors import FerryError, RehearsalError
from ferry.rehearsal import checks, conditions, handlers, policies, program, seeds
from ferry.rehearsal.copies import Copies
from ferry.rehearsal.program import Run
from ferry.rehearsal.server import EMULATOR, Server
from stacks.settings import PROJECT, Settings

Message = Mapping[str, Any]


def main() -> None:
    """Serve one parent."""
    gc.disable()  # a quarter of a rehearsal's time is collecting what modules define and keep
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    requests: SimpleQueue[Message] = SimpleQueue()
    Thread(target=_listen, args=(requests,), daemon=True).start()
    server = Server()
    copies = Copies(server, answers)
    rehearsed = _Rehearsed(server, answers)
    while True:
        request = requests.get()
        try:
            if request["do"] == "rehearse":
                answer = rehearsed.make(request)
            elif request["do"] == "change":
                answer = rehearsed.change(request)
            elif request["do"] == "judge":
                answer = _judge(server, request)
            elif request["do"] == "copy":
                answer = copies.make()
            else:
                answer = copies.drop(request["process"])
            _send(answers, answer)
        except FerryError as error:
            _send(answers, {"say": "failed", "error": type(error).__name__, "message": str(error)})
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            message = f"{Path(at.filename).name}:{at.lineno}: {type(error).__name__}: {' '.join(str(error).split())}"
            _send(answers, {"say": "failed", "error": RehearsalError.__name__, "message": message})


def _listen(requests: SimpleQueue[Message]) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)


def _send(answers: TextIO, message: Message) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


class _Rehearsed:
    """The stack of this process: made by one of the two fronts, and, under the real engine, changed into another."""

    def __init__(self, server: Server, answers: TextIO) -> None:
        self._server, self._answers = server, answers
        self._session: Any = None
        self._seeded: list[str] = []

    def make(self, request: Message) -> dict[str, Any]:
        """Run the program under a configuration, in an empty account."""
        started = time.monotonic()
        settings = Settings.from_config(request["config"])
        self._server.reset()
        account = self._server.account(settings.region)
        self._seeded = seeds.seed(account, settings)
        _import_all(handlers.__path__, handlers.__name__)
        asked = policies.hold(Path.cwd(), request["stack"], request["config"], account)
        if "workspace" not in request:
            done = program.run(Path.cwd(), PROJECT, request["stack"], request["config"], account, self._progress)
            return self._answer(settings, started, "in-process", done, [], asked and done.registered)
        # Not among the imports above: gRPC and the CLI's API take half a second, and only this front needs them.
        from ferry.rehearsal.engine import front
        from ferry.rehearsal.engine.official import configuration
        from ferry.rehearsal.engine.session import Session

        official = configuration(self._server.endpoint_url) if request["official"] else None
        self._session = Session(
            Path(request["workspace"]), Path.cwd(), request["stack"], account, self._progress, official
        )
        done, of_engine = front.run(self._session, request["config"])
        return self._answer(settings, started, self._session.name, done, of_engine, asked)

    def change(self, request: Message) -> dict[str, Any]:
        """Make another stack of what is there."""
        from ferry.rehearsal.engine import front

        started = time.monotonic()
        settings = Settings.from_config(request["config"])
        account = self._session.provider.account
        self._seeded += seeds.seed(account, settings, [*self._seeded])
        asked = policies.hold(Path.cwd(), settings.environment, request["config"], account)
        done, of_engine, planned = front.change(self._session, account, request["config"])
        answer = self._answer(settings, started, self._session.name, done, of_engine, asked)
        answer["rehearsal"]["changes"] = [one.model_dump() for one in planned]
        return answer

    def _progress(self, created: int, newest: str) -> None:
        _send(self._answers, {"say": "created", "count": created, "resource": newest})

    def _answer(
        self, settings: Settings, started: float, front: str, done: Run, of_engine: list[Any], asked: list[Resource]
    ) -> dict[str, Any]:
        """`asked`: the resources that the policies judge; none where the project has no policies."""
        _import_all(checks.__path__, checks.__name__)
        account = self._server.account(settings.region)
        results = [*of_engine, *checks.run(account, checks.Stack(settings, done.outputs))]
        gc.freeze()  # keeps a copy from touching, and so doubling, the memory that it shares with this process
        gc.enable()
        return {
            "say": "rehearsed",
            "endpoint_url": self._server.endpoint_url,
            "rehearsal": {
                "environment": settings.environment,
                "region": settings.region,
                "front": front,
                "emulator": EMULATOR,
                "seconds": round(time.monotonic() - started, 1),
                "resources": dict(sorted(done.resources.items())),
                "checks": [check.model_dump() for check in results],
                "policy_profile": Context.of(settings).profile if asked else None,
                "policies": [one.model_dump() for one in judged(asked, Context.of(settings))] if asked else [],
                "not_emulated": [one.model_dump() for one in done.not_emulated],
                "seeded": self._seeded,
                "conditions_evaluated": sorted(conditions.CONDITIONS.evaluated),
                "outputs": done.outputs,
            },
            "properties": done.properties,
        }


def _judge(server: Server, request: Message) -> dict[str, Any]:
    """What the policies see in what the program is going to ask for; nothing is created."""
    settings = Settings.from_config(request["config"])
    server.reset()
    account = server.account(settings.region)
    seeds.seed(account, settings)
    _import_all(handlers.__path__, handlers.__name__)
    resources = program.forecast(Path.cwd(), PROJECT, request["stack"], request["config"], account)
    answers = judged(resources, Context.of(settings, request["profile"]))
    return {"say": "judged", "policies": [one.model_dump() for one in answers], "region": settings.region}


def _import_all(path: Any, package: str) -> None:
    for module in pkgutil.iter_modules(path, f"{package}."):
        importlib.import_module(module.name)


if __name__ == "__main__":
    main()
