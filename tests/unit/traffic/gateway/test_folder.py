from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ferry.errors import GatewayError, Superseded
from ferry.traffic.cutover.state import Division
from ferry.traffic.cutover.weights import GatewayWeights
from ferry.traffic.gateway import GatewayFolder, Routes, Stage
from ferry.traffic.gateway.lines import LineCounter
from ferry.traffic.lock import locked

HOME = Routes(weights={"local": 100, "cloud": 0})
AWAY = Routes(weights={"local": 0, "cloud": 100})


@pytest.fixture
def folder(tmp_path: Path) -> GatewayFolder:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 9901}}
    clusters = [{"name": name} for name in ("local", "cloud", "local-then-cloud", "cloud-then-local")]
    document = {"admin": {"address": address}, "static_resources": {"clusters": clusters, "listeners": []}}
    (tmp_path / "envoy.yaml").write_text(yaml.safe_dump(document))
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "routes.yaml").write_text(HOME.dump())
    return GatewayFolder(tmp_path)


def test_whoever_has_taken_over_may_write(folder: GatewayFolder) -> None:
    fence = folder.take_over()
    assert fence == 1
    assert folder.read_routes() == replace(HOME, generation=1)
    written = folder.change_routes(lambda there: AWAY, fence=fence)
    assert written == folder.read_routes() == replace(AWAY, generation=1)


def test_whoever_was_superseded_may_not_write_any_more(folder: GatewayFolder) -> None:
    first = folder.take_over()
    second = folder.take_over()
    folder.change_routes(lambda there: AWAY, fence=second)
    with pytest.raises(Superseded, match="generation 2 has taken over from 1"):
        folder.change_routes(lambda there: HOME, fence=first)
    assert folder.read_routes().weights == AWAY.weights


def test_what_a_render_changes_right_before_a_controller_writes_is_kept(
    folder: GatewayFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = replace(HOME, stages=(Stage(prefix="/decode", cluster="cloud"),))

    @contextmanager
    def after_a_render(path: Path) -> Iterator[None]:
        with locked(path):
            folder.routes_file.write_text(rendered.dump())
            yield

    monkeypatch.setattr("ferry.traffic.gateway.folder.locked", after_a_render)
    GatewayWeights(folder, folder.admin(), apply_seconds=0)._write(Division(candidate=25), 0)
    monkeypatch.undo()
    assert folder.read_routes() == replace(rendered, weights={"local": 75, "cloud": 25})


def test_those_who_take_over_at_once_get_different_generations(folder: GatewayFolder) -> None:
    fences: list[int] = []
    threads = [threading.Thread(target=lambda: fences.append(folder.take_over())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fences) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_cluster_that_envoy_does_not_have_is_refused_before_anything_is_written(folder: GatewayFolder) -> None:
    with pytest.raises(GatewayError, match=r"envoy\.yaml: has no cluster nowhere; it has local, cloud$"):
        folder.change_routes(lambda there: Routes(weights={"nowhere": 100}), fence=0)
    assert folder.read_routes() == HOME


def test_a_reader_sees_the_old_file_or_the_new_one_and_no_rest_of_either(folder: GatewayFolder) -> None:
    before = folder.routes_file.stat().st_ino
    folder.change_routes(lambda there: AWAY, fence=0)
    assert folder.routes_file.stat().st_ino != before
    assert [path.name for path in folder.routes_file.parent.iterdir()] == ["routes.yaml"]


def test_a_filter_is_replaced_whole(folder: GatewayFolder) -> None:
    folder.write_filter("revocation", "{}")
    assert folder.filter_file("revocation").read_text() == "{}"
    assert [path.name for path in (folder.path / "filters").iterdir()] == ["revocation.yaml"]


def test_a_folder_that_cannot_be_written_leaves_traffic_as_it_was(folder: GatewayFolder) -> None:
    (folder.path / "filters").write_text("in the way")
    with pytest.raises(GatewayError, match=r"revocation\.yaml: cannot be written: .*; traffic stays as it was"):
        folder.write_filter("revocation", "{}")


@pytest.mark.parametrize(("text", "said"), [("", "is no gateway of Ferry"), ("a: [", "cannot be read: while parsing")])
def test_another_file_is_no_gateway(folder: GatewayFolder, text: str, said: str) -> None:
    folder.envoy_file.write_text(text)
    with pytest.raises(GatewayError, match=said):
        folder.admin_url()


def test_lines_are_counted_across_a_rotation_and_from_now_on(tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    log.write_text("before\n")
    counter = LineCounter(log)
    with log.open("a") as writer:
        writer.write("1\n2\nhalf")
        writer.flush()
        assert counter.count() == 2
        log.rename(tmp_path / "access.jsonl.1")
        writer.write(" and whole\n")
        writer.flush()
        assert counter.count() == 3
    log.write_text("4\n5\n")
    assert counter.count() == 5
    counter.close()


def test_lines_of_a_log_that_is_not_there_yet_are_counted_once_it_is(tmp_path: Path) -> None:
    counter = LineCounter(tmp_path / "access.jsonl")
    assert counter.count() == 0
    (tmp_path / "access.jsonl").write_text("1\n")
    assert counter.count() == 1
    counter.close()
