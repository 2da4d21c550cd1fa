"""The controller: each step held by the gate, and no death of it moves traffic or loses a line of the ledger."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ferry import ledger
from ferry.errors import GatewayError, Superseded, TrafficError, UnwritableOutput
from ferry.traffic.cutover import controller
from ferry.traffic.cutover.controller import Told
from ferry.traffic.cutover.state import HOME, Division, StateFile
from ferry.traffic.cutover.text import describe_interrupted
from ferry.traffic.cutover.warmth import Warmth

if TYPE_CHECKING:
    from tests.unit.traffic.cutover.conftest import Site

SHADOW, FIVE, HALF, ALL = Division(candidate=0, mirror=100), *(Division(candidate=share) for share in (5, 50, 100))
COLD = Warmth("cold", "127.0.0.1:8000 does not answer")


def results(folder: Path) -> list[str]:
    return [entry["result"] for entry in ledger.read(folder)]


def changes(folder: Path) -> list[str]:
    return [entry["result"] for entry in ledger.read(folder) if "change" in entry["figures"]]


def test_traffic_goes_through_every_step_and_the_ledger_says_why(site: Site) -> None:
    state = site.controller().run()
    assert (state.phase, state.generation) == ("done", 1)
    assert site.road.seen == [SHADOW, FIVE, HALF, ALL]
    assert site.eyes.began == [True, False, False, False]
    assert results(site.folder) == [
        *("begins at 0 %", "shadow entered", "advance", "5 % entered", "advance", "50 % entered", "advance"),
        *("100 % entered", "advance", "done"),
    ]
    entry = ledger.read(site.folder)[4]
    assert entry["figures"] == {
        **{"cutover": state.id, "generation": 1, "candidate": "cloud", "share": 5, "mirror": 0},
        **{"looks": 1, "reason": "advance at 5 %"},
    }


def test_a_cutover_that_is_done_is_not_begun_again(site: Site) -> None:
    done = site.controller().run()
    assert site.controller().run() == done
    assert len(site.road.seen) == 4


def test_the_gate_sends_all_traffic_home_in_one_step(site: Site) -> None:
    site.says = lambda step, look: "roll back" if step == "50 %" else "advance"
    state = site.controller().run()
    assert (state.phase, state.why) == ("rolled back", "roll back at 50 %")
    assert site.road.seen == [SHADOW, FIVE, HALF, HOME]
    assert results(site.folder)[-1] == "rolled back"
    assert ledger.read(site.folder)[-1]["figures"]["looks"] == 1


def test_a_disk_that_is_full_keeps_nobody_from_going_home(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise UnwritableOutput("no space left on the device")

    def fill(told: object) -> None:
        if site.road.division == HALF:
            monkeypatch.setattr(StateFile, "save", full)
            monkeypatch.setattr(ledger, "append", full)

    site.says = lambda step, look: "roll back" if step == "50 %" else "advance"
    with pytest.raises(UnwritableOutput):
        site.controller(told=fill).run()
    assert site.road.division == HOME


def test_a_rollback_may_be_followed_by_a_cutover_from_the_beginning(site: Site) -> None:
    site.says = lambda step, look: "roll back"
    first = site.controller().run()
    site.says = lambda step, look: "advance"
    second = site.controller().run()
    assert (first.phase, second.phase) == ("rolled back", "done")
    assert first.id != second.id


@pytest.mark.parametrize("dies", ["before", "after"])
@pytest.mark.parametrize("changes_before", [0, 1, 2, 3])
def test_a_new_controller_goes_on_where_the_last_one_died(site: Site, dies: str, changes_before: int) -> None:
    def tick_of_death(told: object) -> None:
        if len(site.road.seen) == changes_before:
            site.road.dies = dies

    with pytest.raises(BaseException, match=r"^$") as died:
        site.controller(told=tick_of_death).run()
    assert type(died.value).__name__ == "Killed"
    stood = site.road.division
    site.road.dies = None
    assert site.controller().run().phase == "done"
    assert site.road.seen == [SHADOW, FIVE, HALF, ALL]
    assert site.road.seen.index(stood) >= changes_before - 1 if stood != HOME else changes_before == 0
    assert changes(site.folder) == ["shadow entered", "5 % entered", "50 % entered", "100 % entered", "done"]


@pytest.mark.parametrize("seed", range(8))
def test_killed_anywhere_it_ends_the_same_with_each_change_in_the_ledger_once(
    site: Site, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each write to the disk or to traffic is a place to die: state, ledger, routes.
    draw = random.Random(seed)
    places = {"left": 0}

    def dying(real: object) -> object:
        def act(*given: object, **named: object) -> object:
            places["left"] -= 1
            if places["left"] == 0:
                raise KeyboardInterrupt
            return real(*given, **named)  # type: ignore[operator]

        return act

    monkeypatch.setattr(StateFile, "save", dying(StateFile.save))
    monkeypatch.setattr(ledger, "append", dying(ledger.append))
    monkeypatch.setattr(type(site.road), "set", dying(type(site.road).set))
    deaths = 0
    while True:
        places["left"] = draw.randint(1, 8)
        try:
            state = site.controller().run()
            break
        except KeyboardInterrupt:
            deaths += 1
    places["left"] = 0
    site.controller().run()  # what the last one left out of the ledger
    assert deaths > 2
    assert state.phase == "done"
    assert site.road.seen == [SHADOW, FIVE, HALF, ALL]
    assert changes(site.folder) == ["shadow entered", "5 % entered", "50 % entered", "100 % entered", "done"]


def test_a_controller_that_died_on_its_way_home_is_followed_by_one_that_goes_home(site: Site) -> None:
    site.says = lambda step, look: "roll back" if step == "50 %" else "advance"

    def die(told: object) -> None:
        site.road.dies = "before" if site.road.division == HALF else None

    with pytest.raises(BaseException, match=r"^$"):
        site.controller(told=die).run()
    assert site.road.division == HALF
    site.road.dies = None
    site.says = lambda step, look: "advance"
    assert site.controller().run().phase == "rolled back"
    assert site.road.division == HOME


def test_what_envoy_refuses_leaves_traffic_as_it_was_and_is_tried_again_by_the_next(site: Site) -> None:
    site.road.refuses = HALF
    with pytest.raises(GatewayError, match="refuses the routes"):
        site.controller().run()
    assert site.road.division == FIVE
    assert results(site.folder)[-1] == "50 % refused"
    site.road.refuses = None
    assert site.controller().run().phase == "done"


def test_a_change_of_which_nobody_knows_is_found_out_by_the_next(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real = type(site.road).set

    def unsure(road: Any, division: Division, **named: Any) -> None:
        real(road, division, **named)
        if division == HALF:
            raise TrafficError("50 % or still 5 %")

    with monkeypatch.context() as broken:
        broken.setattr(type(site.road), "set", unsure)
        with pytest.raises(TrafficError, match="or still"):
            site.controller().run()
    assert site.controller().run().phase == "done"
    assert site.road.seen == [SHADOW, FIVE, HALF, ALL]
    assert changes(site.folder) == ["shadow entered", "5 % entered", "50 % entered", "100 % entered", "done"]


def test_a_candidate_without_a_healthy_server_gets_nothing(site: Site) -> None:
    site.eyes.down = True
    with pytest.raises(GatewayError, match="cloud has no healthy server"):
        site.controller().run()
    assert site.road.seen == []


def test_a_cold_engine_at_home_keeps_a_cutover_from_beginning(site: Site) -> None:
    site.warmths = [COLD]
    with pytest.raises(TrafficError, match="needs a way back"):
        site.controller().run()
    assert site.road.seen == []


def test_nothing_advances_until_there_is_a_warm_engine_to_come_back_to(site: Site) -> None:
    warm = site.warmths[0]
    site.warmths = [warm, warm, COLD, COLD, warm]
    assert site.controller().run().phase == "done"
    held = [told.reason for told in site.told if told.action == "hold"]
    assert held[0] == "no way back, the engine at home is cold: 127.0.0.1:8000 does not answer"
    assert {told.step for told in site.told if told.action == "hold"} == {"5 %"}


def test_the_gate_does_not_roll_back_to_a_dead_engine_while_the_candidate_answers(site: Site) -> None:
    warm = site.warmths[0]
    site.warmths = [warm, warm, COLD, COLD, warm]
    site.says = lambda step, look: "roll back" if step == "5 %" else "advance"
    assert site.controller().run().phase == "rolled back"
    assert "stuck" in site.actions()
    assert "ferry rollback --force" in next(told.reason for told in site.told if told.action == "stuck")
    assert "stuck" in results(site.folder)


def test_with_both_sides_down_it_goes_home(site: Site) -> None:
    warm = site.warmths[0]
    site.warmths = [warm, warm, COLD]

    def cloud_dies(told: object) -> None:
        site.eyes.down = site.road.division == FIVE

    site.says = lambda step, look: "roll back" if step == "5 %" else "advance"
    assert site.controller(told=cloud_dies).run().phase == "rolled back"


def test_a_finding_holds_what_the_gate_would_let_on_and_is_recorded(site: Site) -> None:
    site.eyes.finding = "lines are missing"

    def found_after_a_while() -> None:
        site.eyes.finding = None

    site.on_tick = found_after_a_while
    assert site.controller().run().phase == "done"
    assert results(site.folder)[1:5] == ["shadow entered", "finding", "advance", "5 % entered"]


def test_paused_it_watches_and_does_not_advance(site: Site) -> None:
    looks: list[int] = []

    def tick() -> None:
        looks.append(1)
        site.states.order("pause" if len(looks) < 3 else "run", "ann@site")

    site.says = lambda step, look: "hold" if look == 1 else "advance"
    site.on_tick = tick
    assert site.controller().run().phase == "done"
    assert site.actions()[:5] == ["enter", "hold", "paused", "paused", "advance"]
    assert "paused" in results(site.folder)


def test_paused_it_still_rolls_back(site: Site) -> None:
    site.says = lambda step, look: "hold" if look == 1 else "roll back"
    site.on_tick = lambda: site.states.order("pause", "ann@site") and None
    assert site.controller().run().phase == "rolled back"


def test_an_abort_from_elsewhere_brings_all_traffic_home(site: Site) -> None:
    site.says = lambda step, look: "advance" if step != "50 %" else "hold"
    site.on_tick = lambda: site.states.order("abort", "ann@site") and None
    state = site.controller().run()
    assert (state.phase, state.why, site.road.division) == ("aborted", "aborted by ann@site", HOME)


def test_interrupted_in_the_middle_of_a_change_it_does_not_say_that_it_was_made(site: Site) -> None:
    site.says = lambda step, look: "hold" if step == "5 %" else "advance"
    site.on_tick = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        site.controller().run()
    assert "traffic stays at 5 % to cloud;" in describe_interrupted(site.states.load())

    def killed_on_the_way(told: Told) -> None:
        site.road.dies = "before" if told.action == "enter" else None

    site.says = lambda step, look: "advance"
    with pytest.raises(BaseException, match=r"^$"):
        site.controller(told=killed_on_the_way).run()
    assert "traffic stays at 5 % or at 50 % to cloud, as `ferry cutover status` says;" in describe_interrupted(
        site.states.load()
    )


def test_a_pause_outlives_the_controller(site: Site) -> None:
    site.says = lambda step, look: "hold"
    site.on_tick = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        site.controller().run()
    site.states.order("pause", "ann@site")
    site.says = lambda step, look: "advance"
    with pytest.raises(KeyboardInterrupt):
        site.controller().run()
    assert site.actions()[-1] == "paused"


@pytest.mark.parametrize("keeps_generation", [True, False])
def test_a_controller_that_was_superseded_says_by_whom_and_changes_nothing(
    site: Site, *, keeps_generation: bool
) -> None:
    site.road.keeps_generation = keeps_generation
    second = site.controller(verb="cutover resume", sleep=lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))

    def another_takes_over() -> None:
        with pytest.raises(KeyboardInterrupt):
            second.run()

    site.on_tick = another_takes_over
    site.says = lambda step, look: "hold"
    with pytest.raises(Superseded, match=r"`ferry cutover resume` of .* has taken over \(generation 2\)"):
        site.controller().run()
    assert site.road.seen == [SHADOW]


def test_a_controller_that_is_late_with_its_write_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "SUPERSEDED_SECONDS", 0.0)

    def someone_else(told: object) -> None:
        if site.road.division == SHADOW:
            site.road.generation = 7

    with pytest.raises(Superseded, match="somebody has taken over from generation 1"):
        site.controller(told=someone_else).run()
    assert site.road.division == SHADOW


def test_shares_that_somebody_changed_by_hand_stay_and_end_the_controller(site: Site) -> None:
    site.says = lambda step, look: "hold"

    def by_hand() -> None:
        site.road.division = Division(candidate=33)

    site.on_tick = by_hand
    with pytest.raises(TrafficError, match="by hand"):
        site.controller().run()
    assert site.road.division == Division(candidate=33)
    with pytest.raises(TrafficError, match="somebody else has changed that"):
        site.controller().run()


def test_without_a_state_it_goes_on_at_the_step_where_traffic_is(site: Site) -> None:
    site.road.division = HALF
    assert site.controller().run().phase == "done"
    assert site.road.seen == [ALL]


def test_traffic_at_no_step_of_the_policy_is_refused(site: Site) -> None:
    site.road.division = Division(candidate=33)
    with pytest.raises(TrafficError, match=r"cloud has 33 %, which is no step of .*canary\.yaml"):
        site.controller().run()
    assert site.road.generation == 0


def test_a_damaged_state_is_an_error_that_names_the_way_out(site: Site) -> None:
    site.states.path.parent.mkdir()
    site.states.path.write_text("{")
    with pytest.raises(TrafficError, match=r"`ferry rollback` brings all traffic home without it"):
        site.controller().run()


def test_shares_that_were_put_back_by_hand_are_not_moved_again(site: Site) -> None:
    site.says = lambda step, look: "hold" if step == "50 %" else "advance"
    site.on_tick = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        site.controller().run()
    site.road.division = FIVE
    with pytest.raises(TrafficError, match="cloud has 5 %, the cutover left it 50 %"):
        site.controller().run()
    assert site.road.division == FIVE


def test_a_state_is_written_by_the_newest_generation_only(site: Site) -> None:
    old = site.controller().run()
    site.states.save(old.model_copy(update={"generation": 5}))
    with pytest.raises(Superseded, match=r"\(generation 5\)"):
        site.states.save(old)
    state = site.states.load()
    assert state is not None
    assert state.generation == 5


def test_an_order_that_comes_while_a_controller_writes_is_kept(site: Site) -> None:
    site.says = lambda step, look: "hold"
    site.on_tick = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        site.controller().run()
    before = site.states.load()
    assert before is not None
    site.states.order("pause", "ann@site")
    assert site.states.save(before).order.wanted == "pause"
