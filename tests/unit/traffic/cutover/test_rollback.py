"""The way home: in one step, whatever a controller does, and refused for one reason only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ferry import ledger
from ferry.errors import GatewayError
from ferry.traffic.cutover.rollback import Rollback, roll_back
from ferry.traffic.cutover.state import HOME, Division, State
from ferry.traffic.cutover.text import describe_rollback
from ferry.traffic.cutover.warmth import Warmth

if TYPE_CHECKING:
    from tests.unit.traffic.cutover.conftest import Site

COLD, WARM, KEYED = Warmth("cold", "no answer"), Warmth("warm", "a token came"), Warmth("unknown", "wants a key")


def go_home(site: Site, warmth: Warmth = WARM, **changes: Any) -> Rollback:
    values: dict[str, Any] = {"force": False, "why": "3 a.m."} | changes
    return roll_back(site.states, site.road, home=lambda: warmth, candidate_is_down=lambda: site.eyes.down, **values)


@pytest.fixture
def moved(site: Site) -> Site:
    """A cutover whose controller died at 50 %."""
    site.says = lambda step, look: "hold" if step == "50 %" else "advance"
    site.on_tick = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        site.controller().run()
    assert site.road.division == Division(candidate=50)
    return site


def state_of(site: Site) -> State:
    state = site.states.load()
    assert state is not None
    return state


def test_all_traffic_is_home_after_one_step_and_the_ledger_says_from_whom_it_was_taken(moved: Site) -> None:
    done = go_home(moved)
    assert (done.confirmed, done.refused, done.problems) == (True, False, ())
    assert moved.road.seen[-1] == HOME
    assert (state_of(moved).phase, state_of(moved).generation) == ("rolled back", 2)
    entry = ledger.read(moved.folder)[-1]
    assert (entry["verb"], entry["result"], entry["figures"]["before"]) == ("rollback", "rolled back", "50 %")
    assert "`ferry cutover start` of " in entry["figures"]["taken_over_from"]


def test_a_cold_engine_at_home_refuses_while_the_cloud_answers(moved: Site) -> None:
    done = go_home(moved, COLD)
    assert done.refused
    assert moved.road.division == Division(candidate=50)
    assert moved.road.generation == 1
    assert "--force" in describe_rollback(done)


@pytest.mark.parametrize("why", ["forced", "the cloud is down, too", "it cannot be asked"])
def test_it_goes_home_all_the_same_where_nothing_is_lost_by_it_or_a_person_says_so(moved: Site, why: str) -> None:
    moved.eyes.down = why == "the cloud is down, too"
    done = go_home(moved, KEYED if why == "it cannot be asked" else COLD, force=why == "forced")
    assert not done.refused
    assert moved.road.division == HOME
    assert "WARNING: the engine there is" in describe_rollback(done)
    assert ledger.read(moved.folder)[-1]["forced"] == (why == "forced")


def test_a_ledger_that_cannot_be_written_does_not_keep_traffic_away(moved: Site) -> None:
    (moved.folder / ledger.NAME).unlink()
    (moved.folder / ledger.NAME).mkdir()
    done = go_home(moved)
    assert moved.road.division == HOME
    assert "cannot be recorded" in done.problems[0]


def test_a_damaged_state_is_put_aside(moved: Site) -> None:
    moved.states.path.write_text("{")
    done = go_home(moved)
    assert moved.road.division == HOME
    assert "put aside" in done.problems[0]
    assert moved.states.path.with_name("cutover.json.damaged").read_text() == "{"
    assert state_of(moved).phase == "rolled back"


def test_without_a_cutover_it_brings_home_what_was_moved_by_hand(site: Site) -> None:
    site.road.division = Division(candidate=33)
    assert not go_home(site).refused
    assert site.road.division == HOME
    assert ledger.read(site.states.path.parent)[-1]["result"] == "rolled back"


def test_an_envoy_that_does_not_confirm_is_said_and_the_routes_stay_home(
    moved: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_there = type(moved.road).set

    def written_but_not_taken(*given: Any, **named: Any) -> None:
        set_there(*given, **named)
        raise GatewayError("Envoy does not answer")

    monkeypatch.setattr(type(moved.road), "set", written_but_not_taken)
    done = go_home(moved)
    assert (done.confirmed, done.problems) == (False, ("Envoy does not answer",))
    assert moved.road.division == HOME
    assert describe_rollback(done).startswith("the routes say home, but Envoy did not confirm it")


def test_killed_on_the_way_it_is_ended_by_the_next_start(moved: Site) -> None:
    moved.road.dies = "before"
    with pytest.raises(BaseException, match=r"^$"):
        go_home(moved)
    moved.road.dies = None
    moved.says = lambda step, look: "advance"
    assert moved.controller().run().phase == "rolled back"
    assert moved.road.division == HOME


def test_forced_it_does_not_wait_for_an_engine_that_hangs(moved: Site) -> None:
    at: list[Division] = []

    def hangs() -> Warmth:
        at.append(moved.road.division)
        return COLD

    roll_back(moved.states, moved.road, home=hangs, candidate_is_down=lambda: False, force=True, why="now")
    assert at == [HOME]
