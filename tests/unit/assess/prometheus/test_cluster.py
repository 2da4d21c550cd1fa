from __future__ import annotations

import json

import pytest

from ferry.assess.prometheus import ClusterReading, cluster_metrics, exposition, response
from ferry.errors import UnreadableInput

T0 = 1700006400.0
"""Midnight UTC, nine in the morning in Tokyo."""


def read(*texts: str, time_zone: str = "UTC") -> ClusterReading:
    pages = [
        (response if text.startswith("{") else exposition).parse(text, f"page{number}")
        for number, text in enumerate(texts)
    ]
    return cluster_metrics(pages, source="pages", time_zone=time_zone)


def gpu(name: str, value: float | str, index: int = 0, uuid: str = "", **labels: str) -> str:
    given = {"gpu": str(index), **({"UUID": uuid} if uuid else {}), **labels}
    shown = ",".join(f'{key}="{text}"' for key, text in given.items())
    return f"{name}{{{shown}}} {value}\n"


def matrix(name: str, values: list[tuple[float, float]], **labels: str) -> str:
    series = {"metric": {"__name__": name, **labels}, "values": [[t, str(value)] for t, value in values]}
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": [series]}})


def codes(reading: ClusterReading) -> list[str]:
    return [finding.code for finding in reading.findings]


def test_a_page_of_dcgm_gives_each_gpu_with_its_server_model_and_driver() -> None:
    more = {"uuid": "GPU-1", "Hostname": "n1", "modelName": "NVIDIA L4", "DCGM_FI_DRIVER_VERSION": "580.1"}
    metrics = read(
        gpu("DCGM_FI_DEV_GPU_UTIL", 40, **more)
        + gpu("DCGM_FI_DEV_POWER_USAGE", 72.5, **more)
        + gpu("DCGM_FI_DEV_FB_USED", 1024, **more)
    ).metrics
    (one,) = metrics.gpus
    assert (one.gpu, one.host, one.model, one.driver) == ("GPU-1", "n1", "NVIDIA L4", "580.1")
    assert (one.utilization.value, one.power.value, one.memory_used.value) == (40.0, 72.5, 1024 * 2**20)
    assert (metrics.utilization.value, metrics.power.value, metrics.window) == (40.0, 72.5, "one moment")


def test_gpu_0_of_two_servers_is_two_gpus() -> None:
    for texts in (
        [gpu("DCGM_FI_DEV_GPU_UTIL", 10, instance="a:9400") + gpu("DCGM_FI_DEV_GPU_UTIL", 50, instance="b:9400")],
        [gpu("DCGM_FI_DEV_GPU_UTIL", 10, Hostname="a") + gpu("DCGM_FI_DEV_GPU_UTIL", 50, Hostname="b")],
        [gpu("dcgm_gpu_utilization", 10), gpu("dcgm_gpu_utilization", 50)],
    ):
        metrics = read(*texts).metrics
        assert [one.utilization.value for one in metrics.gpus] == [10.0, 50.0]
        assert metrics.utilization.value == 30.0


def test_one_gpu_seen_by_two_exporters_is_one_gpu() -> None:
    metrics = read(
        *(gpu("DCGM_FI_DEV_POWER_USAGE", 300, uuid="GPU-1", instance=host, pod=host) for host in ("a:9400", "b:9400"))
    ).metrics
    assert (len(metrics.gpus), metrics.power.value) == (1, 300.0)


def test_a_gpu_whose_uuid_was_blanked_out_is_told_by_its_server() -> None:
    zeros = "00000000-0000-0000-0000-000000000000"
    page = f'nvidia_smi_utilization_gpu_ratio{{uuid="{zeros}"}} 0.25\n'
    metrics = read(page, page.replace("0.25", "0.75")).metrics
    assert [one.utilization.value for one in metrics.gpus] == [25.0, 75.0]


def test_mig_instances_stand_for_themselves() -> None:
    text = "".join(
        gpu("DCGM_FI_PROF_GR_ENGINE_ACTIVE", value, uuid="GPU-1", GPU_I_ID=part)
        for part, value in (("1", 0.5), ("2", 0.1))
    )
    assert [(one.gpu, one.utilization.value) for one in read(text).metrics.gpus] == [
        ("GPU-1/1", 50.0),
        ("GPU-1/2", 10.0),
    ]


@pytest.mark.parametrize(
    "blank",
    [2147483632, 2147483633, 2147483634, 2147483635, 9223372036854775792, 9223372036854775794, "140737488355328.0"],
)
def test_blank_numbers_of_dcgm_are_left_out_and_said(blank: float | str) -> None:
    text = gpu("DCGM_FI_DEV_GPU_UTIL", 40, uuid="GPU-1") + gpu("DCGM_FI_DEV_GPU_UTIL", blank, uuid="GPU-2")
    reading = read(text)
    assert reading.metrics.utilization.value == 40.0
    assert [one.utilization.value for one in reading.metrics.gpus] == [40.0]
    (finding,) = reading.findings
    assert (finding.code, finding.where, finding.severity) == ("dcgm-blank-values", "page0:2", "warning")


def test_a_large_energy_is_no_blank_number() -> None:
    text = gpu("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 8147483632, uuid="GPU-1")
    assert codes(read(text + gpu("DCGM_FI_DEV_GPU_UTIL", 1, uuid="GPU-1"))) == []


def test_faults_that_dcgm_counts_are_found_and_a_sound_gpu_and_a_blank_are_none() -> None:
    xid, repair, ecc = "DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_ROW_REMAP_FAILURE", "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"
    reading = read(
        gpu(xid, 79, uuid="GPU-1")
        + gpu(xid, 0, 1, uuid="GPU-2")
        + gpu(repair, 0, uuid="GPU-1")
        + gpu(repair, 1, 1, uuid="GPU-2")
        + gpu(ecc, 9223372036854775794, uuid="GPU-1")
        + gpu(ecc, 3, 1, uuid="GPU-2")
    )
    said = {finding.code: (finding.severity, finding.seen, finding.where) for finding in reading.findings}
    assert said["gpu-xid-error"] == ("warning", "GPU-1: last XID error 79", "page0:1")
    assert said["gpu-memory-repair-failed"] == (
        "critical", "GPU-2: a row of memory was not remapped", "page0:4",
    )  # fmt: skip
    assert said["gpu-ecc-uncorrected"] == ("critical", "GPU-2: 3 uncorrected memory errors", "page0:6")
    assert "gpu-memory-repaired" not in said


def test_an_impossible_value_is_left_out_and_said() -> None:
    reading = read(gpu("DCGM_FI_DEV_GPU_UTIL", 4000, uuid="GPU-1") + gpu("DCGM_FI_DEV_POWER_USAGE", -3, uuid="GPU-1"))
    assert (reading.metrics.utilization.value, reading.metrics.power.value) == (None, None)
    assert codes(reading) == ["gpu-metric-impossible", "gpu-metric-impossible"]


def test_use_by_the_hour_of_the_day_is_in_the_sites_time_zone() -> None:
    values = [(T0 + 1800 * step, float(step)) for step in range(4)]
    text = matrix("DCGM_FI_DEV_GPU_UTIL", values, UUID="GPU-1")
    by_hour = read(text, time_zone="Asia/Tokyo").metrics.by_hour["gpu_utilization_percent"]
    assert by_hour.values == [None] * 9 + [0.5, 2.5] + [None] * 13
    assert read(text).metrics.by_hour["gpu_utilization_percent"].values[:3] == [0.5, 2.5, None]


def test_power_of_all_gpus_adds_up_at_each_time() -> None:
    texts = [
        matrix("DCGM_FI_DEV_POWER_USAGE", [(T0 + shift, 100.0), (T0 + 60 + shift, 300.0)], UUID=f"GPU-{shift}")
        for shift in (0, 7)
    ]
    metrics = read(*texts).metrics
    assert metrics.power.value == 400.0
    assert metrics.by_hour["gpu_power_w"].values[0] == 400.0


def test_a_page_of_node_exporter_gives_the_server() -> None:
    text = "".join(f'node_cpu_seconds_total{{cpu="{cpu}",mode="idle"}} 5\n' for cpu in range(4))
    text += 'node_uname_info{nodename="n1"} 1\nnode_memory_MemTotal_bytes 1e9\n'
    text += "node_memory_MemAvailable_bytes 4e8\nnode_load1 2\n"
    (machine,) = read(text).metrics.machines
    assert (machine.host, machine.cpus, machine.memory.value) == ("n1", 4, 1e9)
    assert (machine.memory_available.value, machine.load.value) == (4e8, 2.0)


def test_pages_without_gpus_or_servers_are_refused() -> None:
    with pytest.raises(UnreadableInput, match="pages: holds no metrics of GPUs or servers"):
        read("vllm:num_requests_running 1\n")
