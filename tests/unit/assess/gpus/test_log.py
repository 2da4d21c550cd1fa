from __future__ import annotations

import re
from typing import Any

import pytest

from ferry.assess.gpus import machine, parse
from ferry.errors import UnreadableInput

TEXT = """\

==============NVSMI LOG==============

Timestamp                                 : Wed Jun  7 19:32:16 2023
Driver Version                            : 610.57.04 [Deprecated; use KMD Version instead]
CUDA Version                              : 13.3 [Deprecated; use CUDA UMD Version instead]
KMD Version                               : 610.57.04
CUDA UMD Version                          : 13.3

Attached GPUs                             : 1
GPU 00000000:10:1C.0
    Product Name                          : NVIDIA A100-SXM4-80GB
    Persistence Mode                      : Enabled
    MIG Mode
        Current                           : Disabled
        Pending                           : Disabled
    GPU UUID                              : GPU-5269b708-678a-b1a8-60f0-c90406537486
    PCI
        Bus Id                            : 00000000:10:1C.0
        GPU Link Info
            Link Width
                Max                       : 16x
                Current                   : 8x
    GPU Recovery Action                   : None
    Clocks Event Reasons
        Idle                              : Active
        SW Power Cap                      : Not Active
        HW Slowdown                       : Active
            HW Thermal Slowdown           : Active
            HW Power Brake Slowdown       : Not Active
    FB Memory Usage
        Total                             : 81920 MiB
        Used                              : 50 MiB
    BAR1 Memory Usage
        Total                             : 131072 MiB
    Utilization
        GPU                               : 37 %
        Memory                            : 11 %
    ECC Mode
        Current                           : Enabled
        Pending                           : Enabled
    ECC Errors
        Volatile
            SRAM Correctable              : 5
            SRAM Uncorrectable Parity     : 1
            SRAM Uncorrectable SEC-DED    : 2
            DRAM Correctable              : 177
            DRAM Uncorrectable            : 4
        Aggregate
            SRAM Uncorrectable            : 7
            DRAM Uncorrectable            : N/A
    Remapped Rows
        Correctable Error                 : 1
        Uncorrectable Error               : 3
        Pending                           : Yes
        Remapping Failure Occurred        : No
    GPU Power Readings
        Average Power Draw                : 67.03 W
        Current Power Limit               : 500.00 W
    Module Power Readings
        Average Power Draw                : 900.00 W
    Processes                             : None
"""
XML = """\
<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v13.dtd">
<nvidia_smi_log>
  <driver_version>610.57.04</driver_version><cuda_version>13.3</cuda_version><attached_gpus>1</attached_gpus>
  <gpu id="00000000:10:1C.0">
    <product_name>NVIDIA A100-SXM4-80GB</product_name>
    <persistence_mode>Enabled</persistence_mode>
    <mig_mode><current_mig>Disabled</current_mig><pending_mig>Disabled</pending_mig></mig_mode>
    <uuid>GPU-5269b708-678a-b1a8-60f0-c90406537486</uuid>
    <pci><pci_gpu_link_info><link_widths><max_link_width>16x</max_link_width>
      <current_link_width>8x</current_link_width></link_widths></pci_gpu_link_info></pci>
    <clocks_event_reasons>
      <clocks_event_reason_hw_slowdown>Active</clocks_event_reason_hw_slowdown>
      <clocks_event_reason_hw_thermal_slowdown>Active</clocks_event_reason_hw_thermal_slowdown>
    </clocks_event_reasons>
    <fb_memory_usage><total>81920 MiB</total><used>50 MiB</used></fb_memory_usage>
    <utilization><gpu_util>37 %</gpu_util></utilization>
    <ecc_mode><current_ecc>Enabled</current_ecc></ecc_mode>
    <ecc_errors>
      <volatile><sram_uncorrectable_parity>1</sram_uncorrectable_parity>
        <sram_uncorrectable_secded>2</sram_uncorrectable_secded><dram_uncorrectable>4</dram_uncorrectable></volatile>
      <aggregate><sram_uncorrectable>7</sram_uncorrectable><dram_uncorrectable>N/A</dram_uncorrectable></aggregate>
    </ecc_errors>
    <remapped_rows><remapped_row_corr>1</remapped_row_corr><remapped_row_unc>3</remapped_row_unc>
      <remapped_row_pending>Yes</remapped_row_pending><remapped_row_failure>No</remapped_row_failure></remapped_rows>
    <gpu_power_readings><average_power_draw>67.03 W</average_power_draw>
      <current_power_limit>500.00 W</current_power_limit></gpu_power_readings>
    <module_power_readings><average_power_draw>900.00 W</average_power_draw></module_power_readings>
  </gpu>
</nvidia_smi_log>
"""


def facts(text: str) -> tuple[Any, ...]:
    reading = parse(text, "smi")
    made = machine([reading])
    (gpu,), (group,) = reading.gpus, made.gpus
    return (
        *(made.driver, made.cuda, group.name, group.memory_mib.value, group.utilization.value),
        *(group.power_w.value, group.power_limit_w.value, group.ecc, group.mig),
        *(group.ecc_uncorrected.value, group.ecc_uncorrected_ever.value, sorted(gpu.throttled)),
        {key: seen.value for key, seen in gpu.flags.items()},
        {key: seen.value for key, seen in gpu.numbers.items() if key.startswith(("pcie", "remapped"))},
        [finding.code for finding in reading.findings],
    )


EXPECTED = (
    *("610.57.04", "13.3", "NVIDIA A100-SXM4-80GB", 81920, 37),
    *(67.03, 500, "on", "off"),
    *(7, 7, ["hw_slowdown", "hw_thermal_slowdown"]),
    {"persistence": True, "mig": False, "ecc": True, "remap_pending": True, "remap_failed": False},
    {"pcie_width": 8, "pcie_width_max": 16, "remapped_uncorrectable": 3},
    [],
)


@pytest.mark.parametrize("text", [TEXT, XML], ids=["text", "xml"])
def test_text_and_xml_say_the_same(text: str) -> None:
    assert facts(text) == EXPECTED


@pytest.mark.parametrize("text", [TEXT, XML], ids=["text", "xml"])
def test_a_value_is_named_with_its_line(text: str) -> None:
    at = 1 + next(number for number, line in enumerate(text.splitlines()) if "81920 MiB" in line)
    assert machine([parse(text, "smi")]).gpus[0].memory_mib.source == f"smi:{at}"


def test_a_log_pasted_with_an_indentation_is_the_same() -> None:
    assert facts("".join(f"    {line}\n" for line in TEXT.splitlines())) == EXPECTED


def test_names_of_older_drivers_are_read() -> None:
    old = (
        TEXT.replace("Clocks Event Reasons", "Clocks Throttle Reasons")
        .replace("GPU Power Readings", "Power Readings")
        .replace("Average Power Draw                : 67", "Power Draw                        : 67")
        .replace("Current Power Limit", "Power Limit")
        .replace(
            "            SRAM Uncorrectable Parity     : 1\n", "            Double Bit\n                Total : 7\n"
        )
    )
    assert facts(old) == EXPECTED


def test_a_capture_in_a_loop_holds_the_gpu_many_times() -> None:
    for text in (TEXT, XML):
        reading = parse(text + text.replace("37 %", "39 %"), "smi")
        assert (len(reading.gpus), reading.lines, reading.utilization) == (1, 2, [37.0, 39.0])


@pytest.mark.parametrize("text", [TEXT, XML], ids=["text", "xml"])
def test_a_value_without_its_unit_was_cut_off(text: str) -> None:
    reading = parse(text.replace("81920 MiB", "819"), "smi")
    assert "memory_mib" not in reading.gpus[0].numbers
    assert [finding.code for finding in reading.findings] == ["gpu-value-unreadable"]


def test_fewer_gpus_than_are_attached_is_a_contradiction() -> None:
    (finding,) = parse(
        TEXT.replace("Attached GPUs                             : 1", "Attached GPUs : 8"), "smi"
    ).findings
    assert (finding.code, finding.seen) == ("gpu-count-contradicts-itself", "8 GPUs are attached, 1 are described")


@pytest.mark.parametrize("at", range(60, len(XML) - 20, 97))
def test_xml_that_is_cut_off_is_refused_with_its_line(at: int) -> None:
    with pytest.raises(UnreadableInput, match=r"^smi:\d+: is not whole XML, or is cut off"):
        parse(XML[:at], "smi")


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "dtd",
    [
        f'[<!ENTITY l0 "ha">{LAUGHS}]',
        '[<!ENTITY x SYSTEM "file:///etc/passwd">]',
        '[<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;]',
    ],
)
def test_entities_are_refused(dtd: str) -> None:
    text = XML.replace('SYSTEM "nvsmi_device_v13.dtd"', dtd).replace("NVIDIA A100", "&l9;&x;")
    with pytest.raises(UnreadableInput, match=r"declares an XML entity|not whole XML"):
        parse(text, "smi")


def test_the_dtd_that_nvidia_smi_itself_embeds_is_passed_over() -> None:
    embedded = "[<!ELEMENT nvidia_smi_log (timestamp, gpu*)><!ATTLIST gpu id CDATA #REQUIRED>]"
    assert facts(XML.replace('SYSTEM "nvsmi_device_v13.dtd"', embedded)) == EXPECTED


def test_xml_of_another_kind_is_refused() -> None:
    with pytest.raises(
        UnreadableInput, match=r"^topo\.xml:2: is XML, but not of nvidia-smi -q -x: its root is 'system'"
    ):
        parse('<?xml version="1.0"?>\n<system version="1"><cpu/></system>', "topo.xml")
    deep = XML.replace("NVIDIA A100", "<a>" * 50 + "</a>" * 50)
    with pytest.raises(UnreadableInput, match="nested deeper"):
        parse(deep, "smi")


def test_mig_devices_are_read_from_both() -> None:
    part = "    MIG Device\n        Index : {0}\n        Shared FB Memory Usage\n            Total : {1} MiB\n"
    text = TEXT.replace("    GPU UUID", part.format(0, 40448) + part.format(1, 9984) + "    GPU UUID")
    device = "<mig_device><index>{0}</index><fb_memory_usage><total>{1} MiB</total></fb_memory_usage></mig_device>"
    devices = f"<mig_devices>{device.format(0, 40448)}{device.format(1, 9984)}</mig_devices><uuid>"
    for whole in (text, XML.replace("<uuid>", devices)):
        assert machine([parse(whole, "smi")]).gpus[0].mig_instances == ["40448 MiB", "9984 MiB"]
        assert facts(whole) == EXPECTED


def test_the_line_of_a_second_document_counts_from_the_start_of_the_file() -> None:
    broken = XML + re.sub("</uuid>", "", XML)
    with pytest.raises(UnreadableInput, match=r"^smi:(\d+): is not whole XML") as refused:
        parse(broken, "smi")
    assert int(str(refused.value).split(":")[1]) > len(XML.splitlines())
