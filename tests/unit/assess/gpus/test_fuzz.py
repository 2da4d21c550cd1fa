"""No damage of any output ends in a traceback, in a hang, or in a number out of its range."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferry.artefacts import Cluster, unknown
from ferry.assess.gpus import about_machines, by_machine, machine, parse, samples_of
from ferry.assess.gpus.parse import LARGEST_BYTES
from ferry.errors import UnreadableInput

TABLE = """\
| NVIDIA-SMI 610.43.02              KMD Version: 610.43.02     CUDA UMD Version: 13.3     |
|   0  NVIDIA H100 80GB HBM3          On  |   00000000:00:09.0 Off |                   On |
| N/A   52C    P0            432W /  700W |   11125MiB /  81559MiB |     N/A      Default |
|                                         |                        |              Enabled |
| MIG devices:                                                                            |
|  0    2   0   0  |           11091MiB / 40448MiB    | 60      0 |  3   0    3    0    3 |
| Processes:                                                                              |
"""
LOG = """\
==============NVSMI LOG==============
Driver Version : 590.48.01
Attached GPUs : 1
GPU 00000000:00:09.0
    Product Name : NVIDIA H100 80GB HBM3
    MIG Mode
        Current : Enabled
    MIG Device
        Index : 0
        Shared FB Memory Usage
            Total : 40448 MiB
    FB Memory Usage
        Total : 81559 MiB
    Utilization
        GPU : 100 %
    ECC Errors
        Volatile
            DRAM Uncorrectable : 0
    GPU Power Readings
        Average Power Draw : 629.45 W
"""
XML = """\
<?xml version="1.0"?><!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log><attached_gpus>1</attached_gpus><gpu id="00000000:01:00.0"><product_name>NVIDIA L4</product_name>
<mig_devices><mig_device><index>0</index><fb_memory_usage><total>19968 MiB</total></fb_memory_usage></mig_device>
</mig_devices><fb_memory_usage><total>81920 MiB</total></fb_memory_usage><utilization><gpu_util>5 %</gpu_util>
</utilization><ecc_errors><volatile><dram_uncorrectable>0</dram_uncorrectable></volatile></ecc_errors></gpu>
</nvidia_smi_log>
"""
LISTS = """\
GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-5269b708-678a-b1a8-60f0-c90406537486)
  MIG 3g.40gb     Device  0: (UUID: MIG-00000000-0000-0000-0000-000000000000)
\t Link 0: 25 GB/s
\t Link 1: Replay Errors: 0
KMD version : 590.48.01
\tGPU0\tGPU1\tmlx5_0\tCPU Affinity
GPU0\t X \tNV3\tNODE\t0-63
GPU1\tNV3\t X \tNODE\t0-63
# gpu    pwr  gtemp     sm  dbecc
# Idx      W      C      %   errs
    0    631     63    100      0
"""
CSV = """\
timestamp, index, name, uuid, driver_version, utilization.gpu [%], memory.total [MiB], power.draw [W], mig.mode.current
2026/10/14 09:00:00.000, 0, NVIDIA L4, GPU-a, 550.127.05, 40 %, 23034 MiB, 71.5 W, [N/A]
2026/10/14 09:00:00.000, 1, NVIDIA L4, GPU-b, 550.127.05, 0 %, 23034 MiB, 12.1 W, [N/A]
"""
AMD = (
    '{"card0": {"Card Series": "MI100", "PCI Bus": "0000:1E:00.0", "VRAM Total Memory (B)": "34342961152", '
    '"GPU use (%)": "7"}, "system": {"Driver version": "6.2.4", '
    '"(Topology) Link type between DRM devices 0 and 1": "XGMI"}}'
)
SMI = (
    '{"gpu_data": [{"gpu": 0, "asic": {"market_name": "MI300X"}, "vram": {"size": {"value": 196592, "unit": "MB"}}, '
    '"usage": {"gfx_activity": {"value": 9, "unit": "%"}}, "links": [{"gpu": 1, "link_type": "XGMI"}]}]}'
)
SAMPLES = [TABLE, LOG, XML, LISTS, CSV, AMD, SMI]
CLUSTER = Cluster(nodes=1, gpus_per_node=2, accelerator="L4-24GB", gpu_utilization=unknown("percent"))
JUNK = st.sampled_from([
    "9" * 30, "-1", "1e308", "NaN", "[N/A]", "²", "４２", "\x00", "\ud800", "\u2028", "|", ":", ",", "%",
    " MiB", '"', "<", "&x;", "<!ENTITY a 'b'>", "GPU 0", "GPU0", "{", "]", "\r", "\n", "    ", "ERR!",
]) | st.text(max_size=8)  # fmt: skip
STARTS = [
    "", "|", "| 0 a ", "GPU0 ", "# gpu ", "GPU 0: ", "index, ", "GPU-", "    a: ", "{", "<?xml", "a" * 50,
]  # fmt: skip
FILLINGS = [" ", "0", "a ", "| ", ", ", "GPU1 ", "[0m", "<a>", "=", "::", "\x00", "1,"]


def check(text: str) -> None:
    message, reading = "", None
    try:
        reading = parse(text, "smi")
    except UnreadableInput as error:
        message = str(error)
    assert "\n" not in message
    if reading is None:
        return
    groups = by_machine([reading])
    samples = samples_of(groups[0])
    assert all(0 <= value <= 100 for value in samples.utilization)
    for group in machine(groups[0]).gpus:
        assert group.memory_mib.value is None or 0 <= group.memory_mib.value <= 4 * 2**20
        assert group.power_w.value is None or 0 <= group.power_w.value <= 20_000
    for finding in about_machines(groups, CLUSTER):
        assert "\n" not in finding.seen + finding.where + finding.means


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.sampled_from(SAMPLES), data=st.data())
def test_any_cut_and_any_junk_is_a_reading_or_one_line(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        text = text[:start] + data.draw(JUNK) + text[start + data.draw(st.sampled_from([0, 1, 5, 40])) :]
    check(text[: data.draw(st.sampled_from([len(text), len(text) // 2, 50]))])


@settings(deadline=None, max_examples=100)
@given(text=st.sampled_from(SAMPLES), at=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_a_reading_or_one_line(text: str, at: int, bit: int) -> None:
    content = bytearray(text.encode())
    content[at % len(content)] ^= 1 << bit
    check(content.decode("utf-8", "replace"))


@settings(deadline=None, max_examples=50)
@given(parts=st.lists(st.sampled_from([line for text in SAMPLES for line in text.splitlines()]), max_size=12))
def test_any_lines_in_any_order_are_a_reading_or_one_line(parts: list[str]) -> None:
    check("\n".join(parts))


@settings(deadline=None, max_examples=100)
@given(text=st.text(max_size=200))
def test_any_text_is_a_reading_or_one_line(text: str) -> None:
    check(text)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("filling", FILLINGS)
def test_a_line_of_megabytes_takes_no_time(start: str, filling: str) -> None:
    before = time.monotonic()
    check(start + filling * (2**20 // len(filling)))
    assert time.monotonic() - before < 3


def test_many_lines_take_time_by_their_number() -> None:
    before = time.monotonic()
    check(CSV + "2026/10/14 09:00:00.000, 0, NVIDIA L4, GPU-a, 550.127.05, 40 %, 23034 MiB, 71.5 W, [N/A]\n" * 20_000)
    check("|   0  NVIDIA L4  On  |   00000000:00:09.0 Off |  On |\n" * 20_000)
    check("GPU 00000000:00:09.0\n" * 20_000)
    check("<?xml\n" * 2000)
    assert time.monotonic() - before < 20


def test_a_file_of_more_lines_or_more_gpus_than_a_server_has_is_refused() -> None:
    with pytest.raises(UnreadableInput, match=r"^smi: has more than 2000000 lines"):
        parse("\n" * 2_000_001, "smi")
    with pytest.raises(UnreadableInput, match=r"^smi:1026: is one GPU more than 1024; give one file a server"):
        parse("uuid, name\n" + "".join(f"GPU-a{number}, a\n" for number in range(1025)), "smi")


@pytest.mark.parametrize(
    ("start", "filling", "says"),
    [
        ("index, name\n", "0, ", "smi:2: is a line of"),
        ("", '[{"gpu": 0},', "smi:1: is JSON of more than 16 MiB"),
        ('<?xml version="1.0"?><nvidia_smi_log>', "<a>x</a>", "smi:1: is XML of more than 16 MiB"),
    ],
)
def test_what_is_larger_than_any_server_writes_is_refused_at_once(start: str, filling: str, says: str) -> None:
    before = time.monotonic()
    with pytest.raises(UnreadableInput, match=f"^{says}"):
        parse(start + filling * (17 * 2**20 // len(filling)), "smi")
    assert time.monotonic() - before < 3


def test_rows_without_a_mark_take_no_memory_each() -> None:
    reading = parse("name, utilization.gpu [%]\n" + "NVIDIA L4, 5 %\n" * 10_000, "smi")
    assert (len(reading.gpus), reading.lines) == (16, 10_000)
    assert [finding.code for finding in reading.findings] == ["gpu-csv-names-no-gpu"]


def test_the_limit_of_a_file_is_stated() -> None:
    assert LARGEST_BYTES == 128 * 2**20
