from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

# compose-spec.io: the keys of a service that the template may use, and the types that they take.
SERVICE_KEYS = {
    "image": str,
    "entrypoint": list,
    "working_dir": str,
    "volumes": list,
    "environment": dict,
    "network_mode": str,
    "ipc": str,
    "ulimits": dict,
    "cap_add": list,
    "restart": str,
    "deploy": dict,
}


@pytest.mark.tool("shellcheck")
def test_shellcheck_finds_nothing_in_the_slurm_script(rendered_local: Callable[..., Path]) -> None:
    script = rendered_local() / "training" / "finetune.sbatch"
    found = subprocess.run(["shellcheck", "--severity=style", script], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    assert found.returncode == 0


def test_the_slurm_script_starts_torchrun_once_a_node_at_the_first_host(
    rendered_local: Callable[..., Path], tmp_path: Path
) -> None:
    script = rendered_local() / "training" / "finetune.sbatch"
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, body in {"scontrol": 'printf "gpu-1\\ngpu-2\\n"', "srun": 'printf "%s\\n" "$@"; env'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "gpu-[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "42"}
    environment = slurm | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", script, "train.py", "--name", "two words"], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[:11] == [
        "--kill-on-bad-exit=1",
        "torchrun",
        "--nnodes=2",
        "--nproc-per-node=8",
        "--rdzv-backend=c10d",
        "--rdzv-id=42",
        "--rdzv-endpoint=gpu-1:29400",
        "--max-restarts=3",
        "train.py",
        "--name",
        "two words",
    ]
    assert "NCCL_SOCKET_IFNAME=^lo,docker,veth,br-" in ran.stdout.splitlines()


def test_the_slurm_script_without_a_program_says_how_it_is_used(rendered_local: Callable[..., Path]) -> None:
    script = rendered_local() / "training" / "finetune.sbatch"
    ran = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (2, "usage: sbatch finetune.sbatch SCRIPT [ARGUMENT...]\n")


def test_the_compose_file_has_the_shape_of_the_specification(rendered_local: Callable[..., Path]) -> None:
    compose = yaml.safe_load((rendered_local() / "training" / "finetune.compose.yaml").read_text())
    assert set(compose) == {"name", "services"}
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", compose["name"])
    assert set(compose["services"]) == {"train"}
    service = compose["services"]["train"]
    assert {key: type(value) for key, value in service.items()} == SERVICE_KEYS
    assert all(isinstance(value, str) for value in service["environment"].values())
    assert service["restart"] == "no"
    assert service["deploy"] == {
        "resources": {"reservations": {"devices": [{"driver": "nvidia", "count": 8, "capabilities": ["gpu"]}]}}
    }
    assert service["entrypoint"] == [
        "torchrun",
        "--nnodes=2",
        "--nproc-per-node=8",
        "--rdzv-backend=c10d",
        "--rdzv-id=finetune",
        "--rdzv-endpoint=${RENDEZVOUS_HOST:?one server of the job, the same name on all}:29400",
        "--max-restarts=3",
    ]


def test_every_variable_of_the_compose_file_has_to_be_given(rendered_local: Callable[..., Path]) -> None:
    text = (rendered_local() / "training" / "finetune.compose.yaml").read_text()
    variables = re.findall(r"\$\{([A-Z_]+)(:\?)?", text)
    assert sorted(variables) == [("RENDEZVOUS_HOST", ":?"), ("TRAINING_FOLDER", ":?"), ("TRAINING_IMAGE", ":?")]
