"""The stub engine as a process: listens, says where on standard output, and answers until it is ended."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import functools
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ferry.errors import InvalidField
from ferry.rehearsal.stub_engine.behaviour import Behaviour
from ferry.rehearsal.stub_engine.connection import Connection
from ferry.rehearsal.stub_engine.control import Control
from ferry.rehearsal.stub_engine.counts import Counts
from ferry.rehearsal.stub_engine.door import Door
from ferry.rehearsal.stub_engine.engine import Engine
from ferry.rehearsal.stub_engine.port import HOST


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser("python -m ferry.rehearsal.stub_engine", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one; standard output's one line says which")
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--name", default="stub", help="stands in each answer and in the header x-stub-engine")
    parser.add_argument("--model", default="stub-model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--journal", type=Path, metavar="FILE", help="a line for each arrival and each end")
    parser.add_argument("--tls", type=Path, metavar="FILE", help="private key and certificate, PEM: answer HTTPS")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when standard input does")
    for field in dataclasses.fields(Behaviour):
        option = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, type=type(field.default), default=field.default)
    options = vars(parser.parse_args())
    try:
        behaviour = Behaviour(**{field.name: options[field.name] for field in dataclasses.fields(Behaviour)})
    except InvalidField as error:
        parser.error(str(error))
    asyncio.run(_serve(options, behaviour))


async def _serve(options: dict[str, Any], behaviour: Behaviour) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGINT, ended.set)
    if options["end_with_stdin"]:
        loop.add_reader(sys.stdin.fileno(), _read_until_the_end, ended)
    engine = Engine(
        name=options["name"],
        model=options["model"],
        seed=options["seed"],
        counts=Counts(options["journal"]),
        behaviour=behaviour,
    )
    door = Door(engine, options["port"], options["tls"])
    control = Control(engine, door.obey)
    controls: set[Connection] = set()
    listening = await loop.create_server(
        functools.partial(Connection, control.handle, controls, "control"), HOST, options["control_port"]
    )
    door.obey()
    gc.freeze()
    ports = {"port": door.port, "control_port": listening.sockets[0].getsockname()[1]}
    os.write(sys.stdout.fileno(), json.dumps(ports).encode() + b"\n")
    await ended.wait()


def _read_until_the_end(ended: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        ended.set()


if __name__ == "__main__":
    main()
