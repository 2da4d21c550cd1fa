"""Envoy under Ferry's supervisor."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ferry.errors import GatewayError
from ferry.traffic import restarts
from ferry.traffic.gateway import GatewayFolder
from ferry.traffic.gateway.command import find_envoy
from ferry.traffic.gateway.process import Event, Supervisor
from tests.gateways import Backend, free_ports, request, wait_until

KILLS = int(os.environ.get("FERRY_SOAK", "2"))


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


@contextmanager
def supervised(folder: Path, **options: float) -> Iterator[tuple[Supervisor, list[Event]]]:
    """A supervisor in a thread, once Envoy serves; ended and waited for in the end."""
    events: list[Event] = []
    supervisor = Supervisor(GatewayFolder(folder), find_envoy(), report=events.append, **options)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        wait_until(lambda: bool(events) or not thread.is_alive())
        yield supervisor, events
    finally:
        supervisor.stop()
        supervisor.stop()
        thread.join()


@pytest.fixture
def local() -> Iterator[Backend]:
    with Backend("local").serving() as backend:
        yield backend


@pytest.fixture
def place(folder: Callable[[int, int], Path], local: Backend) -> Path:
    """A gateway's folder, with nobody in the cloud."""
    return folder(local.port, free_ports(1)[0])


def test_a_killed_envoy_serves_again_and_its_gap_and_its_lost_lines_are_told(place: Path) -> None:
    gateway = GatewayFolder(place)
    with supervised(place) as (_, events):
        _, port = gateway.address()
        for kill in range(KILLS):
            assert request(port, "POST", "/v1/completions", "{}").status == 200
            os.kill(events[-1].pid, signal.SIGKILL)
            wait_until(lambda kill=kill: len(events) == 2 * kill + 3)
        assert request(port, "POST", "/v1/completions", "{}").status == 200
    assert [event.what for event in events] == ["serving", *(["died", "serving"] * KILLS), "stopped"]
    assert {event.how for event in events if event.what == "died"} == {"signal 9"}
    gaps = [event.gap_ms for event in events if event.what == "serving"]
    assert gaps[0] is None
    assert all(gap and gap > 0 for gap in gaps[1:])
    notes = restarts.read(gateway.state)
    assert [note.event for note in notes] == ["started", "ended"] * (KILLS + 1)
    assert notes[-1].how == "stopped"
    sizes = [note.log_bytes for note in notes]
    assert sizes == sorted(sizes)


def test_a_disk_that_takes_no_note_keeps_nobody_from_starting_envoy_again(place: Path) -> None:
    gateway = GatewayFolder(place)
    with supervised(place) as (_, events):
        (gateway.state / restarts.NAME).unlink()
        (gateway.state / restarts.NAME).mkdir()
        os.kill(events[-1].pid, signal.SIGKILL)
        wait_until(lambda: len(events) == 3)
        assert request(gateway.address()[1], "POST", "/v1/completions", "{}").status == 200
    assert [event.what for event in events] == ["serving", "died", "serving", "stopped"]
    assert events[0].not_noted is None
    assert {event.not_noted for event in events[1:]} == {"Is a directory"}


def test_requests_that_were_counted_and_not_logged_are_lost_for_sure() -> None:
    died = Event(what="died", pid=1, how="signal 9", completed=120, logged=113, unasked_seconds=0.4)
    assert died.lost_lines == 7
    assert Event(what="died", pid=1, completed=120, logged=130).lost_lines == 0
    assert Event(what="died", pid=1, logged=130).lost_lines is None


def test_lines_are_counted_of_each_envoy_by_itself(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferry.traffic.gateway.process.ASK_SECONDS", 0.02)
    gateway = GatewayFolder(place)
    _, port = gateway.address()
    with supervised(place) as (_, events):
        for _ in range(3):
            request(port, "POST", "/v1/completions", "{}")
        wait_until(lambda: gateway.access_log.read_bytes().count(b"\n") == 3)
        wait_until(
            lambda: gateway.admin().stats("downstream_rq_completed")["http.inference.downstream_rq_completed"] == 3
        )
        os.kill(events[-1].pid, signal.SIGSTOP)  # whatever it was asked, it has answered
        os.kill(events[-1].pid, signal.SIGKILL)
        wait_until(lambda: len(events) == 3)
    died, stopped = events[1], events[3]
    assert (died.logged, stopped.logged) == (3, 0)
    assert died.completed in (None, 0, 1, 2, 3)
    assert died.lost_lines in (None, 0)
    assert stopped.completed == 0


def test_stopping_lets_running_answers_end(place: Path, local: Backend) -> None:
    local.answer = "waiting stream"
    gateway = GatewayFolder(place)
    _, port = gateway.address()
    with supervised(place) as (supervisor, events):
        answers = []
        client = threading.Thread(target=lambda: answers.append(request(port, "POST", "/v1/chat/completions", "{}")))
        client.start()
        wait_until(lambda: len(local.requests) == 1)
        supervisor.stop()
        wait_until(lambda: not listens(port))
        assert len(events) == 1
        local.go_on.set()
        client.join()
        wait_until(lambda: len(events) == 2)
    assert (answers[0].status, answers[0].whole) == (200, True)
    assert (events[1].what, events[1].how, events[1].completed, events[1].logged) == ("stopped", "stopped", 1, 1)


def test_a_drain_has_an_end(place: Path, local: Backend) -> None:
    local.answer = "waiting stream"
    _, port = GatewayFolder(place).address()
    with supervised(place, drain_seconds=0) as (supervisor, events):
        client = threading.Thread(target=lambda: request(port, "POST", "/v1/chat/completions", "{}"))
        client.start()
        wait_until(lambda: len(local.requests) == 1)
        supervisor.stop()
        wait_until(lambda: len(events) == 2)
        client.join()
    (line,) = [json.loads(line) for line in GatewayFolder(place).access_log.read_text().splitlines()]
    assert line["finished"] is False


def test_a_configuration_that_envoy_refuses_is_not_tried_again(place: Path) -> None:
    file = place / "envoy.yaml"
    file.write_text(file.read_text().replace("codec_type: AUTO", "codec_type: MAGIC"))
    with pytest.raises(GatewayError, match=r"ended before it served anybody \(exit code 1\): .*MAGIC"):
        Supervisor(GatewayFolder(place), find_envoy()).run()


def test_a_second_supervisor_and_a_second_envoy_are_refused(place: Path) -> None:
    with supervised(place) as (_, events):
        with pytest.raises(GatewayError, match="another `ferry gateway run` is in charge of it"):
            Supervisor(GatewayFolder(place), find_envoy()).run()
        # Whoever supervised it is gone, and its lock with it; Envoy went on.
        (place / "state" / "supervisor.lock").unlink()
        with pytest.raises(GatewayError, match="an Envoy runs here already, which nobody supervises; end it first"):
            Supervisor(GatewayFolder(place), find_envoy()).run()
        assert len(events) == 1


def test_interrupting_the_command_lets_an_answer_end_and_leaves_nothing_behind(place: Path, local: Backend) -> None:
    local.answer = "waiting stream"
    _, port = GatewayFolder(place).address()
    command = [sys.executable, "-c", "from ferry.cli import main; main()", "gateway", "run", str(place), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout
        serving = json.loads(process.stdout.readline())
        assert serving["what"] == "serving"
        answers = []
        client = threading.Thread(target=lambda: answers.append(request(port, "POST", "/v1/chat/completions", "{}")))
        client.start()
        wait_until(lambda: len(local.requests) == 1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of the foreground
        wait_until(lambda: not listens(port))
        local.go_on.set()
        client.join()
        stopped = json.loads(process.stdout.readline())
        assert process.wait(20) == 0
    assert [(answer.status, answer.whole) for answer in answers] == [(200, True)]
    assert (stopped["what"], stopped["how"], stopped["pid"]) == ("stopped", "stopped", serving["pid"])
    with pytest.raises(ProcessLookupError):
        os.kill(serving["pid"], 0)


def test_where_envoy_is_missing_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(GatewayError, match=r"neither in .* nor on PATH; `make setup` brings it on Linux"):
        find_envoy()
