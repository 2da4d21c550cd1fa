"""Faults of servers, disks and links as exporters tell them, one for each alert, and what stays just below."""

from __future__ import annotations

from tests.gpu_faults import Fault

NODE = 'instance="gpu-1",job="node"'
DISK = 'device="nvme0",instance="gpu-1",job="smartctl"'
NVME = f'device="nvme0n1",{NODE}'
MOUNT = f'device="/dev/nvme0n1",fstype="ext4",mountpoint="/data",{NODE}'
RAID = f'device="md0",{NODE}'
LINK = f'device="ens1f0",{NODE}'
PORT = f'device="mlx5_0",port="1",{NODE}'
CHIP = f'chip="platform_nct6775",sensor="fan1",{NODE}'
SENSOR = 'id="12",instance="gpu-1",job="ipmi",name="FAN1"'
ON_NODE = {"instance": "gpu-1", "job": "node"}
ON_DISK = {"device": "nvme0", "instance": "gpu-1", "job": "smartctl"}
ON_MOUNT = {"device": "/dev/nvme0n1", "fstype": "ext4", "mountpoint": "/data", **ON_NODE}
ON_RAID = {"device": "md0", **ON_NODE}
ON_LINK = {"device": "ens1f0", **ON_NODE}
ON_PORT = {"device": "mlx5_0", "port": "1", **ON_NODE}
ON_CHIP = {"chip": "platform_nct6775", "sensor": "fan1", **ON_NODE}
ON_SENSOR = {"id": "12", "instance": "gpu-1", "job": "ipmi", "name": "FAN1"}
REPLACE_DISK = "copy what it holds, replace the disk"
COOLING = "check the fans and the air or water inlet"
POWER = "check the power supplies and their feeds"
CABLE = "check the cable and both its ends"
START = "start the exporter"

SERVER_FAULTS: dict[str, Fault] = {
    "FerryNodesUnlisted": Fault(
        above={'up{job="engine"}': "1x20"}, at=10, severity="warning", action="list the servers",
        labels={"job": "node"}, summary="No server is watched: targets/servers.yaml lists none",
        below=({f"up{{{NODE}}}": "1x20"}, {f"up{{{NODE}}}": "0x20"}),
    ),
    "FerryNodeDown": Fault(
        above={f"up{{{NODE}}}": "0x20"}, at=5, severity="critical",
        action="reach the server by its management controller", labels=ON_NODE,
        summary="Server gpu-1 does not answer", below=({f"up{{{NODE}}}": "0 0 0 0 1x20"},),
    ),
    "FerryNodeDiskFilling": Fault(
        above={
            f"node_filesystem_avail_bytes{{{MOUNT}}}": "9.9x40", f"node_filesystem_size_bytes{{{MOUNT}}}": "100x40"
        },
        at=15, severity="warning", action="free space", labels=ON_MOUNT, summary="/data of gpu-1 has 9.9% left",
        below=(
            {f"node_filesystem_avail_bytes{{{MOUNT}}}": "10x40", f"node_filesystem_size_bytes{{{MOUNT}}}": "100x40"},
        ),
    ),
    "FerryNodeDiskFull": Fault(
        above={
            f"node_filesystem_avail_bytes{{{MOUNT}}}": "2.9x40", f"node_filesystem_size_bytes{{{MOUNT}}}": "100x40"
        },
        at=5, severity="critical", action="free space", labels=ON_MOUNT, summary="/data of gpu-1 has 2.9% left",
        below=(
            {f"node_filesystem_avail_bytes{{{MOUNT}}}": "3x40", f"node_filesystem_size_bytes{{{MOUNT}}}": "100x40"},
        ),
    ),
    "FerryNodeFilesystemReadOnly": Fault(
        above={f"node_filesystem_readonly{{{MOUNT}}}": "0x9 1x20"}, at=11, severity="critical",
        action="drain the server, repair the file system", labels=ON_MOUNT,
        summary="/data of gpu-1 has become read-only",
        # Mounted so.
        below=({f"node_filesystem_readonly{{{MOUNT}}}": "1x40"}, {f"node_filesystem_readonly{{{MOUNT}}}": "0x40"}),
    ),
    "FerryNodeRaidDegraded": Fault(
        above={
            f"node_md_disks_required{{{RAID}}}": "4x20", f'node_md_disks{{state="active",{RAID}}}': "3x20",
            f'node_md_disks{{state="failed",{RAID}}}': "0x20",
        },
        at=1, severity="critical", action=REPLACE_DISK, labels=ON_RAID, summary="RAID md0 of gpu-1 has lost a disk",
        below=(
            {
                f"node_md_disks_required{{{RAID}}}": "4x20", f'node_md_disks{{state="active",{RAID}}}': "4x20",
                f'node_md_disks{{state="failed",{RAID}}}': "0x20", f'node_md_disks{{state="spare",{RAID}}}': "1x20",
            },
        ),
    ),
    "FerryNodeMemoryError": Fault(
        above={f"node_edac_uncorrectable_errors_total{{controller=\"0\",{NODE}}}": "0x9 1x70"}, at=10,
        until=69, severity="critical", action="drain the server, replace the memory module",
        labels={"controller": "0", **ON_NODE}, summary="Uncorrectable memory error on gpu-1",
        below=(
            {
                f"node_edac_uncorrectable_errors_total{{controller=\"0\",{NODE}}}": "2x70",
                f"node_edac_correctable_errors_total{{controller=\"0\",{NODE}}}": "0+9x70",
            },
        ),
    ),
    "FerryNodeFanStopped": Fault(
        above={f"node_hwmon_fan_rpm{{{CHIP}}}": "900x9 0x20"}, at=12, severity="critical", action=COOLING,
        labels=ON_CHIP, summary="Fan fan1 of gpu-1 has stopped",
        # A connector without a fan, and a slow one.
        below=(
            {f"node_hwmon_fan_rpm{{{CHIP}}}": "0x40", f"node_hwmon_fan_alarm{{{CHIP}}}": "0x40"},
            {f"node_hwmon_fan_rpm{{{CHIP}}}": "900x9 1x30"},
        ),
    ),
    "FerryNodeHot": Fault(
        above={f"node_hwmon_temp_celsius{{{CHIP}}}": "100x20", f"node_hwmon_temp_crit_celsius{{{CHIP}}}": "100x20"},
        at=2, severity="critical", action=COOLING, labels=ON_CHIP,
        summary="Sensor fan1 of gpu-1 is at 100 °C, its critical limit",
        below=(
            {f"node_hwmon_temp_celsius{{{CHIP}}}": "99x20", f"node_hwmon_temp_crit_celsius{{{CHIP}}}": "100x20"},
            {f"node_hwmon_temp_celsius{{{CHIP}}}": "99x20", f"node_hwmon_temp_crit_celsius{{{CHIP}}}": "0x20"},
        ),
    ),
    "FerryNodeLinkDown": Fault(
        above={f"node_network_up{{{LINK}}}": "1x9 0x20"}, at=12, severity="critical", action=CABLE, labels=ON_LINK,
        summary="Link ens1f0 of gpu-1 is down",
        # A port without a cable, a short interruption, and a container's end of a link.
        below=(
            {f"node_network_up{{{LINK}}}": "0x40"},
            {f"node_network_up{{{LINK}}}": "1x9 0 0 1x20"},
            {f'node_network_up{{device="veth3a",{NODE}}}': "1x9 0x20"},
        ),
    ),
    "FerryNodeLinkFlaps": Fault(
        above={f"node_network_carrier_changes_total{{{LINK}}}": "0x15 2 2 4x20"}, at=18, severity="warning",
        action=CABLE, labels=ON_LINK, summary="Link ens1f0 of gpu-1 goes up and down",
        below=(
            {f"node_network_carrier_changes_total{{{LINK}}}": "0x15 2 2 3x30"},
            {f"node_network_carrier_changes_total{{{LINK}}}": "0x9 2x15 4x20"},
        ),
    ),
    "FerryNodeLinkSlow": Fault(
        above={f"node_network_speed_bytes{{{LINK}}}": "25e9x9 12.5e9x20"}, at=20, severity="warning", action=CABLE,
        labels=ON_LINK, summary="Link ens1f0 of gpu-1 is slower than it was",
        # Faster than before; down, for which there is another alert; as always.
        below=(
            {f"node_infiniband_rate_bytes_per_second{{{PORT}}}": "50e9x40"},
            {f"node_network_speed_bytes{{{LINK}}}": "12.5e9x9 25e9x30"},
            {f"node_network_speed_bytes{{{LINK}}}": "25e9x9 0x30"},
        ),
    ),
    "FerryInfinibandDown": Fault(
        above={f"node_infiniband_state_id{{{PORT}}}": "4x9 1x20"}, at=12, severity="critical", action=CABLE,
        labels=ON_PORT, summary="InfiniBand mlx5_0 port 1 of gpu-1 is down",
        below=(
            {f"node_infiniband_state_id{{{PORT}}}": "1x40"},
            {f"node_infiniband_state_id{{{PORT}}}": "4x9 1 2 4x20"},
        ),
    ),
    "FerryInfinibandFlaps": Fault(
        above={f"node_infiniband_link_downed_total{{{PORT}}}": "0x9 1x70"}, at=10, until=69, severity="warning",
        action=CABLE, labels=ON_PORT, summary="InfiniBand mlx5_0 port 1 of gpu-1 was down for a moment",
        below=({f"node_infiniband_link_downed_total{{{PORT}}}": "3x40"},),
    ),
    "FerryInfinibandErrors": Fault(
        above={f"node_infiniband_symbol_error_total{{{PORT}}}": "0x9 11x70"}, at=10, until=69, severity="warning",
        action=CABLE, labels=ON_PORT, summary="InfiniBand mlx5_0 port 1 of gpu-1 damages data",
        below=(
            {
                f"node_infiniband_symbol_error_total{{{PORT}}}": "0x9 10x20",
                f"node_infiniband_link_error_recovery_total{{{PORT}}}": "5x40",
                f"node_infiniband_local_link_integrity_errors_total{{{PORT}}}": "5x40",
            },
        ),
    ),
    "FerryDiskExporterDown": Fault(
        above={'up{instance="gpu-1",job="smartctl"}': "0x20"}, at=5, severity="warning", action=START,
        labels={"instance": "gpu-1", "job": "smartctl"}, summary="Nothing is known of the disks of gpu-1",
        below=({'up{instance="gpu-1",job="smartctl"}': "0 0 0 0 1x20"},),
    ),
    "FerryNodeDiskWorn": Fault(
        above={f"smartctl_device_percentage_used{{{DISK}}}": "81x90"}, at=60, severity="warning", action=REPLACE_DISK,
        labels=ON_DISK, summary="nvme0 of gpu-1 has used 81 % of its endurance",
        below=(
            {f"smartctl_device_percentage_used{{{DISK}}}": "80x90", f"nvme_percentage_used_ratio{{{NVME}}}": "0.8x90"},
        ),
    ),
    "FerryNodeDiskMediaErrors": Fault(
        above={f"smartctl_device_media_errors{{{DISK}}}": "0x9 1x1450"}, at=10, until=1445,
        severity="critical", action=REPLACE_DISK, labels=ON_DISK,
        summary="nvme0 of gpu-1 has lost data: it cannot read what was written",
        below=({f"smartctl_device_media_errors{{{DISK}}}": "2x40", f"nvme_media_errors_total{{{NVME}}}": "7x40"},),
    ),
    "FerryNodeDiskFailing": Fault(
        above={f"smartctl_device_critical_warning{{{DISK}}}": "1x20"}, at=5, severity="critical", action=REPLACE_DISK,
        labels=ON_DISK, summary="nvme0 of gpu-1 says that it is about to fail",
        below=(
            {
                f"smartctl_device_critical_warning{{{DISK}}}": "0x20",
                f"smartctl_device_smart_status{{{DISK}}}": "1x20",
                f"smartctl_device_available_spare{{{DISK}}}": "10x20",
                f"smartctl_device_available_spare_threshold{{{DISK}}}": "10x20",
                f"nvme_critical_warning{{{NVME}}}": "0x20", f"nvme_available_spare_ratio{{{NVME}}}": "0.1x20",
                f"nvme_available_spare_threshold_ratio{{{NVME}}}": "0.1x20",
            },
        ),
    ),
    "FerryNodeDisksUnwatched": Fault(
        above={f'node_nvme_info{{device="nvme0",{NODE}}}': "1x90"}, at=60, severity="info", action=START,
        labels={"instance": "gpu-1"}, summary="Nobody says how worn the NVMe disks of gpu-1 are",
        below=(
            {f'node_nvme_info{{device="nvme0",{NODE}}}': "1x90", f"smartctl_device_percentage_used{{{DISK}}}": "1x90"},
            {f'node_nvme_info{{device="nvme0",{NODE}}}': "1x90", f"nvme_percentage_used_ratio{{{NVME}}}": "0.1x90"},
            {f"node_uname_info{{{NODE}}}": "1x90"},
        ),
    ),
    "FerryBmcExporterDown": Fault(
        above={'up{instance="gpu-1",job="ipmi"}': "0x20"}, at=10, severity="warning", action=START,
        labels={"instance": "gpu-1", "job": "ipmi"},
        summary="Nothing is known of the fans and power supplies of gpu-1",
        below=(
            {
                'up{instance="gpu-1",job="ipmi"}': "1x30",
                'ipmi_up{collector="ipmi",instance="gpu-1",job="ipmi"}': "1x30",
                'ipmi_up{collector="sel",instance="gpu-1",job="ipmi"}': "0x30",
            },
        ),
    ),
    "FerryBmcFan": Fault(
        above={f"ipmi_fan_speed_rpm{{{SENSOR}}}": "5000x9 0x20", f"ipmi_fan_speed_state{{{SENSOR}}}": "0x30"}, at=12,
        severity="critical", action=COOLING, labels=ON_SENSOR, summary="Fan FAN1 of gpu-1 has failed",
        # A place without a fan; a warning, for which there is another alert.
        below=({f"ipmi_fan_speed_rpm{{{SENSOR}}}": "0x40"}, {f"ipmi_fan_speed_state{{{SENSOR}}}": "1x40"}),
    ),
    "FerryBmcPowerSupply": Fault(
        above={f'ipmi_sensor_state{{type="Power Supply",{SENSOR}}}': "1x20"}, at=2, severity="critical", action=POWER,
        labels={"type": "Power Supply", **ON_SENSOR}, summary="Power supply FAN1 of gpu-1 has failed, or its feed has",
        below=(
            {f'ipmi_sensor_state{{type="Power Supply",{SENSOR}}}': "0x20"},
            {f'ipmi_sensor_state{{type="Memory",{SENSOR}}}': "2x20", f"ipmi_power_state{{{SENSOR}}}": "1x20"},
        ),
    ),
    "FerryBmcTemperature": Fault(
        above={f"ipmi_temperature_state{{{SENSOR}}}": "2x20"}, at=2, severity="critical", action=COOLING,
        labels=ON_SENSOR, summary="Sensor FAN1 of gpu-1 is too hot",
        below=({f"ipmi_temperature_state{{{SENSOR}}}": "1x20"},),
    ),
    "FerryBmcVoltage": Fault(
        above={f"ipmi_voltage_state{{{SENSOR}}}": "2x20"}, at=5, severity="critical", action=POWER, labels=ON_SENSOR,
        summary="Voltage or current FAN1 of gpu-1 is outside its limits",
        below=({f"ipmi_voltage_state{{{SENSOR}}}": "1x20", f"ipmi_current_state{{{SENSOR}}}": "1x20"},),
    ),
    "FerryBmcSensor": Fault(
        above={f'ipmi_sensor_state{{type="Memory",{SENSOR}}}': "2x30"}, at=10, severity="warning",
        action="read the controller's event log", labels={"id": "12", "instance": "gpu-1", "name": "FAN1"},
        summary="Sensor FAN1 of gpu-1 is not as it should be",
        below=(
            {f'ipmi_sensor_state{{type="Memory",{SENSOR}}}': "1x30", f"ipmi_temperature_state{{{SENSOR}}}": "2x30"},
            {f'ipmi_sensor_state{{type="Power Supply",{SENSOR}}}': "2x30"},
        ),
    ),
}  # fmt: skip

SERVER_OTHER_WAYS: dict[str, tuple[dict[str, str], ...]] = {
    "FerryNodeRaidDegraded": (
        {
            f"node_md_disks_required{{{RAID}}}": "4x20", f'node_md_disks{{state="active",{RAID}}}': "4x20",
            f'node_md_disks{{state="failed",{RAID}}}': "1x20",
        },
    ),
    "FerryNodeFanStopped": ({f"node_hwmon_fan_alarm{{{CHIP}}}": "1x20"},),
    "FerryNodeLinkSlow": ({f"node_infiniband_rate_bytes_per_second{{{PORT}}}": "50e9x9 25e9x30"},),
    "FerryInfinibandErrors": (
        {f"node_infiniband_link_error_recovery_total{{{PORT}}}": "0x5 1x20"},
        {f"node_infiniband_local_link_integrity_errors_total{{{PORT}}}": "0x5 1x20"},
    ),
    "FerryNodeDiskWorn": ({f"nvme_percentage_used_ratio{{{NVME}}}": "0.81x90"},),
    "FerryNodeDiskMediaErrors": ({f"nvme_media_errors_total{{{NVME}}}": "0x5 1x20"},),
    "FerryNodeDiskFailing": (
        {f"nvme_critical_warning{{{NVME}}}": "1x20"},
        {f"smartctl_device_smart_status{{{DISK}}}": "0x20"},
        {
            f"smartctl_device_available_spare{{{DISK}}}": "9x20",
            f"smartctl_device_available_spare_threshold{{{DISK}}}": "10x20",
        },
        {
            f"nvme_available_spare_ratio{{{NVME}}}": "0.09x20",
            f"nvme_available_spare_threshold_ratio{{{NVME}}}": "0.1x20",
        },
    ),
    "FerryBmcExporterDown": ({'ipmi_up{collector="ipmi",instance="gpu-1",job="ipmi"}': "0x30"},),
    "FerryBmcFan": ({f"ipmi_fan_speed_state{{{SENSOR}}}": "2x20"},),
    "FerryBmcPowerSupply": (
        {f'ipmi_sensor_state{{type="Power Unit",{SENSOR}}}': "2x20"}, {f"ipmi_power_state{{{SENSOR}}}": "2x20"}
    ),
    "FerryBmcVoltage": ({f"ipmi_current_state{{{SENSOR}}}": "2x20"},),
    "FerryBmcSensor": ({f"ipmi_fan_speed_state{{{SENSOR}}}": "1x30"}, {f"ipmi_temperature_state{{{SENSOR}}}": "1x30"}),
}  # fmt: skip
"""Further faults that the same alert stands for, each with the rest of it silent."""
