from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry.signing_key import verification_key
from stacks.settings import EngineSettings
from templates.engine_metrics import DIMENSION, ENGINES, NAMESPACE, NODE_GAUGES
from templates.node import USER_DATA_LIMIT_BYTES, bundle_key, engine_command, files, user_data

ENGINE_SETTINGS = [
    EngineSettings(name="vllm", image="vllm:0.33", quantization="awq"),
    EngineSettings(name="sglang", image="sglang:0.6", tensor_parallel=8, max_model_tokens=32768),
]


def unpacked(document: str) -> dict[str, str]:
    return {entry["path"]: entry["content"] for entry in yaml.safe_load(document)["write_files"]}


@pytest.mark.parametrize("engine", ENGINE_SETTINGS, ids=lambda engine: engine.name)
def test_cloud_init_gets_every_file_as_it_was_rendered(boot: Any, engine: EngineSettings) -> None:
    document = user_data(boot(engine=engine))
    assert document.startswith("#cloud-config\n")
    assert unpacked(document) == files(boot(engine=engine))


@pytest.mark.tool("cloud-init")
@pytest.mark.parametrize("engine", ENGINE_SETTINGS, ids=lambda engine: engine.name)
def test_cloud_init_accepts_the_user_data(boot: Any, engine: EngineSettings, tmp_path: Path) -> None:
    path = tmp_path / "user-data.yaml"
    path.write_text(user_data(boot(engine=engine)))
    ran = subprocess.run(["cloud-init", "schema", "--config-file", str(path)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Valid" in ran.stdout


@pytest.mark.tool("shellcheck")
def test_shellcheck_finds_nothing_in_the_boot_script(boot: Any) -> None:
    script = files(boot())["/opt/ferry/node.sh"]
    ran = subprocess.run(["shellcheck", "--shell", "bash", "-"], input=script, capture_output=True, text=True)
    assert ran.stdout == ""


@pytest.mark.tool("systemd-analyze")
@pytest.mark.parametrize("engine", ENGINE_SETTINGS, ids=lambda engine: engine.name)
def test_systemd_accepts_the_units(boot: Any, engine: EngineSettings, tmp_path: Path) -> None:
    """Unknown keys, bad quoting and unknown specifiers are told; only what exists on a node alone is passed over."""
    for path, content in files(boot(engine=engine)).items():
        if path.endswith(".service"):
            (tmp_path / Path(path).name).write_text(content)
    (tmp_path / "docker.service").write_text("[Service]\nExecStart=/bin/true\n")
    units = sorted(str(unit) for unit in tmp_path.glob("ferry-*.service"))
    assert len(units) == 4
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    told = [line for line in ran.stderr.splitlines() if "ferry-" in line and "is not executable" not in line]
    assert told == []


def test_an_engine_gets_a_stacks_own_arguments_word_for_word(boot: Any) -> None:
    hostile = ["--json", '{"a": "b $c 100%"}', "it's", "a;b", ";", "--x=$HOME"]
    node = boot(engine=EngineSettings(image="vllm:0.33", extra_arguments=hostile))
    unit = files(node)["/etc/systemd/system/ferry-engine.service"].replace("\\\n", " ")
    command = next(line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart="))
    words = [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(command)]
    assert words[-len(engine_command(node)) + 1 :] == engine_command(node)[1:]
    assert ' ";" ' in command  # bare, it would start another command


def test_user_data_beyond_ec2s_limit_is_refused(boot: Any) -> None:
    room = USER_DATA_LIMIT_BYTES - len(user_data(boot()).encode())
    assert 2000 < room < USER_DATA_LIMIT_BYTES
    full = boot(engine=EngineSettings(image="vllm:0.33", extra_arguments=["x" * (room - 1)]))  # and a space
    assert len(user_data(full).encode()) == 16_384
    with pytest.raises(ValueError, match="user data has 16385 bytes, EC2 takes 16384"):
        user_data(boot(engine=EngineSettings(image="vllm:0.33", extra_arguments=["x" * room])))


def test_the_verification_key_stands_in_user_data_and_is_left_out_where_there_is_none(
    boot: Any, public_pem: str
) -> None:
    assert unpacked(user_data(boot()))["/opt/ferry/verification-keys/1.pem"] == public_pem
    assert not [path for path in unpacked(user_data(boot(verification_key=None))) if "verification" in path]


def test_each_verification_key_is_a_file_since_openssl_reads_only_the_first_of_one(boot: Any, public_pem: str) -> None:
    other = verification_key(Ed25519PrivateKey.generate())
    files = unpacked(user_data(boot(verification_key=f"{public_pem}\n{other.strip()}")))
    assert files["/opt/ferry/verification-keys/1.pem"] == public_pem
    assert files["/opt/ferry/verification-keys/2.pem"] == other


def test_a_private_key_is_refused_as_verification_key(boot: Any) -> None:
    with pytest.raises(ValueError, match="is not public keys in PEM"):
        boot(verification_key="-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize("version", ["..", "."])
def test_a_version_that_is_no_folder_name_is_refused(boot: Any, version: str) -> None:
    with pytest.raises(ValueError, match="cannot be a folder's name"):
        boot(model_version=version)


def test_a_deadline_leaves_time_to_give_the_reason(boot: Any) -> None:
    assert "\nDEADLINE_SECONDS=880\n" in files(boot(boot_timeout_seconds=1000))["/opt/ferry/node.sh"]
    with pytest.raises(ValueError, match="boot_timeout_seconds is 120"):
        boot(boot_timeout_seconds=120)


def test_sglang_starts_with_its_own_argument_names(boot: Any) -> None:
    engine = EngineSettings(
        name="sglang", image="sglang:0.6", tensor_parallel=4, quantization="fp8", extra_arguments=["--dp", "2"]
    )
    assert engine_command(boot(engine=engine)) == [
        *("python3", "-m", "sglang.launch_server", "--model-path", "/model"),
        *("--served-model-name", "deepseek-r1-distill-qwen", "--host=0.0.0.0", "--port", "8000", "--tp-size", "4"),
        *("--max-running-requests", "64", "--context-length", "8192", "--mem-fraction-static", "0.9"),
        *("--enable-metrics", "--quantization", "fp8", "--dp", "2"),
    ]


@pytest.mark.parametrize("engine", ENGINE_SETTINGS, ids=lambda engine: engine.name)
def test_the_agent_sends_exactly_the_contracts_metrics_in_its_namespace_and_dimension(
    boot: Any, engine: EngineSettings
) -> None:
    config = json.loads(files(boot(engine=engine))["/opt/ferry/agent.json"])
    prometheus = config["logs"]["metrics_collected"]["prometheus"]
    assert config["agent"]["region"] == "cn-north-1"
    assert prometheus["prometheus_config_path"] == "/opt/ferry/prometheus.yaml"
    assert prometheus["log_group_name"] == "ferry-prod-blue-logs-0123456"
    assert prometheus["emf_processor"] == {
        "metric_namespace": NAMESPACE,
        "metric_declaration": [
            {
                "source_labels": ["job"],
                "label_matcher": "^engine$",
                "dimensions": [[DIMENSION]],
                "metric_selectors": [f"^{name}$" for name in ENGINES[engine.name].gauges],
            },
            {
                "source_labels": ["job"],
                "label_matcher": "^node$",
                "dimensions": [[DIMENSION]],
                "metric_selectors": [f"^{name}$" for name in NODE_GAUGES],
            },
        ],
    }


def test_the_agent_scrapes_once_a_minute_and_labels_everything_with_the_group(boot: Any) -> None:
    scrapes = yaml.safe_load(files(boot())["/opt/ferry/prometheus.yaml"])
    assert scrapes["global"]["scrape_interval"] == "1m"
    found = {job["job_name"]: job for job in scrapes["scrape_configs"]}
    assert found["engine"]["static_configs"] == [
        {"targets": ["127.0.0.1:8000"], "labels": {DIMENSION: "ferry-prod-blue"}}
    ]
    assert found["node"]["static_configs"] == [
        {"targets": ["127.0.0.1:9400"], "labels": {DIMENSION: "ferry-prod-blue"}}
    ]
    assert found["node"]["metric_relabel_configs"][0]["regex"] == "|".join(NODE_GAUGES)


def test_the_agent_ships_the_log_that_says_why_a_boot_failed(boot: Any) -> None:
    written = files(boot())
    collected = json.loads(written["/opt/ferry/agent.json"])["logs"]["logs_collected"]["files"]["collect_list"]
    assert [entry["file_path"] for entry in collected] == ["/var/log/ferry/node.log"]
    assert "StandardOutput=append:/var/log/ferry/node.log" in written["/etc/systemd/system/ferry-node.service"]


def test_nothing_that_a_node_runs_names_a_package_index_or_a_public_registry(boot: Any) -> None:
    script = user_data(boot())
    assert [word for word in ("apt", "pip ", "yum", "wget", "https://") if word in script] == []


def test_a_bundles_key_names_its_content() -> None:
    assert bundle_key(b"") == "bundles/e3b0c44298fc1c14/node-bundle.tar.gz"
