"""A site on loopback: an engine at home, one in the cloud behind TLS, and the rendered gateway in front of both."""

from __future__ import annotations

import os
import queue
import shlex
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferry.errors import GatewayError
from ferry.rehearsal import certificate
from ferry.rehearsal.stub_engine import StubEngine
from ferry.rehearsal.stub_engine.port import HOST, bound
from ferry.render.hybrid import GATEWAY, Addresses, gateway_files, tier_files
from ferry.traffic.cutover.desk import Desk
from ferry.traffic.gateway import GatewayFolder
from ferry.traffic.gateway.command import find_envoy
from ferry.traffic.gateway.process import Event, Supervisor
from stacks.settings import GatewayTierSettings, Settings

DIES_WITH_US = """\
import ctypes, os, signal, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == parent:
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""PR_SET_PDEATHSIG of prctl(2): it holds over exec, and comes when the thread that started the process ends, here the
supervisor's. Elsewhere than on Linux, an Envoy outlives a rehearsal that is killed outright."""
SERVING_SECONDS = 30.0
"""Envoy needs some tenths of a second; a machine that is busy, seconds."""


@dataclass
class Site:
    """What runs, up as long as the context that gave it."""

    folder: GatewayFolder
    home: StubEngine
    cloud: StubEngine
    events: queue.SimpleQueue[Event | GatewayError]
    """What the supervisor says of Envoy, after its first start."""
    envoy_pid: int = 0
    """Of the Envoy that served last."""

    @property
    def url(self) -> str:
        """Where clients come in."""
        host, port = self.folder.address()
        return f"http://{host}:{port}"

    @property
    def desk(self) -> Desk:
        """Of the cutover."""
        return Desk(self.folder)


@contextmanager
def serving(
    folder: Path,
    settings: Settings,
    *,
    home: Mapping[str, Any] | None = None,
    cloud: Mapping[str, Any] | None = None,
    journals: bool = False,
    tier: GatewayTierSettings | None = None,
) -> Iterator[Site]:
    """A site in an empty folder. `home`, `cloud`: how the engines behave; `journals`: home.journal and cloud.journal.

    `tier`: the gateway is that of the cloud, not that at home.

    Raises GatewayError where there is no Envoy, or where it refuses the configuration.
    """
    envoy = find_envoy()
    with ExitStack() as stack:
        authority, server = certificate.make(settings.gateway.domain_name, folder)
        at_home = stack.enter_context(
            StubEngine("home", seed=1, journal=folder / "home.journal" if journals else None, **(home or {}))
        )
        in_cloud = stack.enter_context(
            StubEngine(
                "cloud", seed=2, tls=server, journal=folder / "cloud.journal" if journals else None, **(cloud or {})
            )
        )
        keeper = stack.enter_context(bound(0))
        addresses = Addresses(
            gateway_port=keeper.getsockname()[1],
            admin_port=_free_port(),
            engine_port=at_home.port,
            cloud_host=HOST,
            cloud_port=in_cloud.port,
            ca_file=str(authority.absolute()),
        )
        for name, text in _files(settings, tier, addresses).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        gateway = GatewayFolder(folder / GATEWAY)
        events: queue.SimpleQueue[Event | GatewayError] = queue.SimpleQueue()
        supervisor = Supervisor(gateway, _tied_to_us(envoy, folder), events.put, drain_seconds=0)
        thread = threading.Thread(target=_run, args=(supervisor, events), name="supervisor", daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(supervisor.stop)
        site = Site(gateway, at_home, in_cloud, events)
        next_event(site, "serving")
        yield site


def _files(settings: Settings, tier: GatewayTierSettings | None, addresses: Addresses) -> Mapping[str, str]:
    if tier is None:
        return gateway_files(settings, addresses, None, site="rehearsal", engine="vllm")
    files = tier_files(settings, tier, {}, site="rehearsal", engine="vllm", addresses=addresses)
    return {f"{GATEWAY}/{name}": text for name, text in files.items()}


def next_event(site: Site, what: str) -> Event:
    """The supervisor's next event of that kind. Raises GatewayError: what the supervisor raised, or nothing in time."""
    while True:
        try:
            event = site.events.get(timeout=SERVING_SECONDS)
        except queue.Empty:
            raise GatewayError(f"{site.folder.path}: Envoy was not {what} within {SERVING_SECONDS:g} s") from None
        if isinstance(event, GatewayError):
            raise event
        if event.what == "serving":
            site.envoy_pid = event.pid
        if event.what == what:
            return event


def _run(supervisor: Supervisor, events: queue.SimpleQueue[Event | GatewayError]) -> None:
    try:
        supervisor.run()
    except GatewayError as error:
        events.put(error)


def _tied_to_us(envoy: Path, folder: Path) -> Path:
    """A program that is Envoy, and that ends with this process however that ends: a supervisor's own Envoy goes on."""
    program = folder / "envoy"
    words = [sys.executable, "-I", "-S", "-c", DIES_WITH_US, str(os.getpid()), str(envoy)]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
    program.chmod(0o700)
    return program.absolute()


def _free_port() -> int:
    """For the admin endpoint, whose port Envoy shares with nobody; somebody else may take it before Envoy does."""
    with socket.create_server((HOST, 0)) as one:
        port: int = one.getsockname()[1]
        return port
