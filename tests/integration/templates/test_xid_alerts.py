"""What each Xid asks for, a second one of the same code, a restart of the exporter, and what cannot be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ferry.catalog import xids
from ferry.render import render
from tests.plans import empty_project, write_plan
from tests.promtool import alert, check, fires

HOLD = 60
"""Minutes that an alert lasts after its Xid was last counted."""
RESET, RESTART = "drain the server, reset the GPU", "drain the server, switch it off and on"
CALL, WATCH = "call the vendor", "nothing now, unless it comes back"
LINK = "drain the server, reset the GPU, check the link"

# Alert, severity, action, and the codes: of NVIDIA's catalogue, by its bucket.
ALERTS: list[tuple[str, str, str, str]] = [
    ("FerryGpuXidNoted", "info", WATCH, "37 38 43 44 63 66 67 92 93 121 137 141 152 153 157 160 161 162 163 164"),
    ("FerryGpuXidFollows", "info", "find the error before it, and act on that one", "45 159 171 172"),
    (
        "FerryGpuXidApplication", "info", "restart the application",
        "8 11 13 25 31 32 39 40 41 60 68 69 70 71 72 75 76 77 80 82 83 84 85 86 88 89 96 97 98 99 100 101 102 103 104 "
        "105 126 127 128 129 130 131 132 133 134 135 139",
    ),
    ("FerryGpuXidContained", "warning", "restart the application", "94"),
    ("FerryGpuXidRecovery", "warning", "do what the driver asks for", "154"),
    ("FerryGpuXidDriver", "warning", "update the driver", "78"),
    ("FerryGpuXidSupport", "warning", CALL, "61 142 165 166 167 168 169 170"),
    ("FerryGpuXidLink", "critical", LINK, "74 144 145 146 147 148 149 150"),
    ("FerryGpuXidPower", "critical", "drain the server, check the power cables of the board", "54"),
    ("FerryGpuXidReset", "critical", RESET, "46 48 62 64 95 109 110 119 120 136 140 143 155 156 158"),
    ("FerryGpuXidRestart", "critical", RESTART, "79 151"),
]  # fmt: skip
NAMES = [name for name, *_ in ALERTS] + ["FerryGpuXidUnknown", "FerryGpuXidReturned"]


@pytest.fixture(scope="module")
def rule_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    project = empty_project(folder / "project")
    render(write_plan(folder / "plan.yaml"), project=project)
    return project / "build" / "qa" / "local" / "prometheus" / "rules" / "xid.yaml"


def counted(code: int | str, gpu: str = "3") -> str:
    return (
        f'DCGM_EXP_XID_ERRORS_COUNT{{gpu="{gpu}",instance="gpu-1",job="dcgm",window_size_in_ms="300000",xid="{code}"}}'
    )


NONE_COUNTED = 'DCGM_EXP_XID_ERRORS_COUNT{gpu="3",instance="gpu-1",job="dcgm",window_size_in_ms="300000"}'
LAST = 'DCGM_FI_DEV_XID_ERRORS{gpu="3",instance="gpu-1",job="dcgm"}'
TEMPERATURE = 'DCGM_FI_DEV_GPU_TEMP{gpu="3",instance="gpu-1",job="dcgm"}'


def told(code: int, gpu: str = "3") -> tuple[str, dict[str, Any]]:
    """The alert that a code of the table raises, and how it reads."""
    name, severity, action = next((name, how, what) for name, how, what, codes in ALERTS if str(code) in codes.split())
    summary = f"GPU {gpu} of gpu-1 reports Xid {code}: {xids.find(code).name}"
    return name, fires(severity, name, summary, action, gpu=gpu, instance="gpu-1", xid=str(code))


def only(minute: int, *codes: int) -> list[dict[str, Any]]:
    """At that minute the alerts of these codes fire, and no other alert of an Xid; FerryGpuXidReturned aside."""
    expected: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES if name != "FerryGpuXidReturned"}
    for code in codes:
        name, found = told(code)
        expected[name].append(found)
    return [alert(name, minute, *found) for name, found in expected.items()]


def sequence(*parts: tuple[int, str]) -> str:
    """Values, each for so many minutes; `_` is a gap, and `stale` the end of a series."""
    return " ".join(" ".join([value] * count) for count, value in parts)


@pytest.mark.tool("promtool")
def test_every_code_asks_for_the_action_of_its_class_and_for_no_other(rule_file: Path, tmp_path: Path) -> None:
    series = {counted(each.code, gpu=str(each.code)): "1" for each in xids.all_xids()}
    expected: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for each in xids.all_xids():
        if each.action != "ignore":
            name, found = told(each.code, gpu=str(each.code))
            expected[name].append(found)
    check(rule_file, tmp_path, (series, [alert(name, 0, *found) for name, found in expected.items()]))


@pytest.mark.tool("promtool")
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        pytest.param({NONE_COUNTED: "0x20", LAST: "0x20"}, [*only(0), *only(20)], id="no Xid at all"),
        pytest.param(
            # Counted from minute 10 on, and the exporter started again at 12: what it forgot, Prometheus knows.
            {counted(79): sequence((10, "_"), (2, "1"), (1, "stale")), NONE_COUNTED: sequence((10, "0"), (90, "_"))},
            [*only(9), *only(10, 79), *only(11 + HOLD, 79), *only(12 + HOLD)],
            id="the exporter is started again after an Xid",
        ),
        pytest.param(
            {
                counted(79): sequence((10, "_"), (5, "1"), (66, "stale"), (5, "1")),
                NONE_COUNTED: "0x90",
            },
            [*only(10, 79), *only(14 + HOLD, 79), *only(15 + HOLD), *only(80), *only(81, 79)],
            id="a second Xid of the same code is an alert of its own",
        ),
        pytest.param(
            {counted(48): "_x5 1x4 stale", counted(45): "_x5 1x4 stale", NONE_COUNTED: "0x20"},
            [*only(5, 45, 48)],
            id="two at once are both seen",
        ),
        pytest.param(
            {counted(0): "3x9", counted("9223372036854775794"): "3x9", counted(106): "1x9"},
            [*only(5)],
            id="no Xid, a blank and a test message are none",
        ),
        pytest.param(
            {LAST: sequence((10, "_"), (20, "79")), TEMPERATURE: "50x30", NONE_COUNTED: "0x30"},
            [*only(10), *only(25)],
            id="the last code is old news where Xids are counted",
        ),
        pytest.param(
            {LAST: sequence((10, "0"), (150, "79")), TEMPERATURE: "50x160"},
            # The change is seen for five minutes.
            [*only(9), *only(10, 79), *only(14 + HOLD, 79), *only(15 + HOLD)],
            id="without counts: the last code changes, and stays",
        ),
        pytest.param(
            {LAST: sequence((10, "0"), (1, "48"), (20, "45")), TEMPERATURE: "50x30"},
            [*only(11, 48, 45)],
            id="without counts: the next code does not hide the one before",
        ),
        pytest.param(
            {LAST: sequence((10, "_"), (20, "79")), TEMPERATURE: "50x30"},
            [*only(9), *only(10, 79)],
            id="without counts: a metric that begins with the first Xid",
        ),
        pytest.param(
            {
                LAST.replace("job", 'err_code="31",job'): "31x9 stale",
                LAST.replace("job", 'err_code="79",job'): "_x10 79x20",
                TEMPERATURE: "50x30",
            },
            [*only(10, 79)],
            id="without counts: each code is a series of its own",
        ),
        pytest.param(
            {LAST: sequence((10, "79"), (10, "0"), (20, "79")), TEMPERATURE: "50x40"},
            [*only(9), *only(19), *only(20, 79)],
            id="without counts: the same code again after a restart",
        ),
        pytest.param(
            {
                LAST: sequence((10, "79"), (7, "stale"), (20, "79")),
                TEMPERATURE: sequence((10, "50"), (7, "stale"), (20, "50")),
            },
            [*only(9), *only(17), *only(30)],
            id="without counts: an exporter that comes back with the old code has nothing new",
        ),
    ],
)
def test_an_xid_is_seen_once_and_again_and_no_restart_hides_it(
    rule_file: Path, tmp_path: Path, series: Mapping[str, str], expected: Sequence[dict[str, Any]]
) -> None:
    check(rule_file, tmp_path, (series, expected))


@pytest.mark.tool("promtool")
def test_a_code_that_the_table_lacks_is_for_the_vendor(rule_file: Path, tmp_path: Path) -> None:
    found = fires(
        "warning", "FerryGpuXidUnknown", "GPU 3 of gpu-1 reports Xid 173, which the table does not have", CALL,
        gpu="3", instance="gpu-1", xid="173",
    )  # fmt: skip
    check(rule_file, tmp_path, ({counted(173): "1x5"}, [alert("FerryGpuXidUnknown", 1, found)]))


@pytest.mark.tool("promtool")
@pytest.mark.parametrize(
    ("code", "minutes", "returned"),
    [(79, 5, False), (79, 15, True), (79, 168 * 60, True), (79, 169 * 60, False), (13, 60, False), (94, 60, False)],
)
def test_what_a_reset_did_not_cure_within_a_week_is_to_be_replaced(
    rule_file: Path, tmp_path: Path, code: int, minutes: int, returned: bool
) -> None:
    step = 5 if minutes < 60 else 60
    found = fires(
        "critical", "FerryGpuXidReturned", f"Xid {code} came back on GPU 3 of gpu-1 within a week",
        "drain the server, replace the GPU (RMA)", gpu="3", instance="gpu-1", xid=str(code),
    )  # fmt: skip
    series = {counted(code): sequence((1, "1"), (minutes // step - 1, "stale"), (1, "1"))}
    expected = [
        alert("FerryGpuXidReturned", minutes - step),
        alert("FerryGpuXidReturned", minutes, *([found] if returned else [])),
    ]
    check(rule_file, tmp_path, (series, expected), minutes=step)


@pytest.mark.tool("promtool")
def test_an_exporter_that_counts_no_xids_is_told_of(rule_file: Path, tmp_path: Path) -> None:
    up = 'up{instance="gpu-1",job="dcgm"}'
    name = "FerryGpuXidsUncounted"
    found = fires(
        "warning", name, "The exporter of gpu-1 counts no Xids: it was started without dcgm-counters.csv",
        "start the exporter", instance="gpu-1",
    )  # fmt: skip
    check(
        rule_file,
        tmp_path,
        ({up: "1x30", LAST: "0x30"}, [alert(name, 14), alert(name, 15, found)]),
        ({up: "1x30", NONE_COUNTED: "0x30"}, [alert(name, 30)]),
        ({up: "0x30"}, [alert(name, 30)]),
    )
