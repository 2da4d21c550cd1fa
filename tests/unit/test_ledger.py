"""The ledger is a chain: a line that was changed or removed is found."""

from __future__ import annotations

import fcntl
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ferry import ledger
from ferry.artefacts import sha256_of
from ferry.errors import TamperedArtefact, UnwritableOutput


def step(folder: Path, number: int) -> None:
    output = folder / f"{number}.txt"
    output.write_text(str(number))
    ledger.append(folder, "plan", inputs=[], outputs=[output], forced=number == 2, result="go")


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        step(tmp_path, number)
    return tmp_path


def test_each_step_is_a_line_with_the_hashes_of_what_it_wrote(three: Path) -> None:
    entries = ledger.read(three)
    assert [entry["forced"] for entry in entries] == [False, True, False]
    assert entries[1]["outputs"] == {"2.txt": sha256_of(three / "2.txt")}
    assert entries[0]["previous"] == "0" * 64


def test_a_folder_without_a_ledger_has_no_steps(tmp_path: Path) -> None:
    assert ledger.read(tmp_path) == []


@pytest.mark.parametrize("change", ["edit", "remove", "swap", "garbage"])
def test_a_changed_line_is_named(three: Path, change: str) -> None:
    path = three / ledger.NAME
    lines = path.read_text().splitlines()
    if change == "edit":
        lines[1] = json.dumps(json.loads(lines[1]) | {"forced": False}, sort_keys=True)
    elif change == "remove":
        del lines[1]
    elif change == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    else:
        lines[2] = "{"
    path.write_text("\n".join(lines) + "\n")
    named = {"edit": 3, "remove": 2, "swap": 2, "garbage": 3}[change]
    with pytest.raises(TamperedArtefact, match=rf"ledger\.jsonl:{named}:"):
        ledger.read(three)


def test_steps_that_end_at_once_all_get_into_the_chain(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: step(tmp_path, number), range(40)))
    assert len(ledger.read(tmp_path)) == 40


def test_figures_stand_in_the_line_of_a_verb_that_has_them(tmp_path: Path) -> None:
    step(tmp_path, 1)
    ledger.append(
        tmp_path,
        "cutover",
        inputs=[],
        outputs=[],
        forced=False,
        result="advance",
        figures={"p99_ms": 1.5, "why": "µ\u2028"},
    )
    assert [entry.get("figures") for entry in ledger.read(tmp_path)] == [None, {"p99_ms": 1.5, "why": "µ\u2028"}]
    number, last = ledger.end(tmp_path)
    step(tmp_path, 3)
    assert (number, last) == (2, ledger.read(tmp_path)[2]["previous"])


def test_a_process_that_was_stopped_while_it_wrote_keeps_nobody_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0.05)
    with (tmp_path / ledger.NAME).open("ab") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        with pytest.raises(UnwritableOutput, match=r"cannot be recorded: another process has had its lock for more"):
            ledger.append(tmp_path, "plan", inputs=[], outputs=[], forced=False, result="go")
    assert ledger.read(tmp_path) == []
