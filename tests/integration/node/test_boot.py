"""A node boots for real, in a network namespace that holds nothing but loopback: see world.py."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry import node_bundle, signing_key
from stacks.settings import EngineSettings
from templates.node import NodeBoot, bundle_key, user_data

WORLD = Path(__file__).parent / "world.py"
FILES = {
    "config.json": b'{"model_type": "qwen2"}',
    "model.safetensors": bytes(range(256)) * 64,
    "t/tokenizer.json": b"{}",
}
PREFIX = "models/chat/1.0/"
ENGINE = EngineSettings(
    image="vllm:0.33", tensor_parallel=2, max_sequences=48, extra_arguments=["--hf-overrides", '{"a": "b $c 100%"}']
)
OTHER = signing_key.verification_key(Ed25519PrivateKey.from_private_bytes(bytes(32)))
NAMESPACE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]

Boot = Callable[..., dict[str, Any]]


def manifest(files: dict[str, bytes]) -> bytes:
    entries = [{"path": path, "size": len(c), "sha256": hashlib.sha256(c).hexdigest()} for path, c in files.items()]
    document = {"schema": "ferry/model-manifest/v1", "model": "chat", "version": "1.0", "files": entries}
    return json.dumps(document).encode()


def objects(key: Ed25519PrivateKey, files: dict[str, bytes] = FILES) -> dict[str, bytes]:
    """The model bucket as it should be: a signed bundle and a signed model."""
    bundle, signed = node_bundle.build(), manifest(files)
    return {
        bundle_key(bundle): bundle,
        f"{bundle_key(bundle)}.sig": key.sign(bundle),
        f"{PREFIX}manifest.json": signed,
        f"{PREFIX}manifest.json.sig": key.sign(signed),
        **{PREFIX + path: content for path, content in files.items()},
    }


@pytest.fixture(scope="module")
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def boot(tmp_path: Path, key: Ed25519PrivateKey) -> Boot:
    """Boot a node whose bucket holds the objects given, and return what world.py saw."""
    if os.geteuid() or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("a network namespace needs root, unshare and ip")
    probe = subprocess.run([*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"this machine does not let tests make namespaces: {probe.stderr.strip()}")
    for tool in ("aws", "curl", "openssl"):
        if not shutil.which(tool, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"):
            pytest.skip(f"needs {tool}")

    def booted(
        held: dict[str, bytes],
        *,
        with_key: bool = True,
        boots: int = 1,
        target_states: tuple[str, ...] = ("InService",),
    ) -> dict[str, Any]:
        document = user_data(
            NodeBoot(
                environment="test",
                region="us-east-1",
                partition="aws",
                version_name="blue",
                group_name="ferry-test-blue",
                lifecycle_hook_name="node-ready",
                model="chat",
                model_version="1.0",
                bucket="models-bucket",
                node_bundle_key=bundle_key(node_bundle.build()),
                # Another key comes first: a node tries each.
                verification_key=OTHER + signing_key.verification_key(key) if with_key else None,
                registry="123456789012.dkr.ecr.us-east-1.amazonaws.com",
                engine=ENGINE,
                log_group="/ferry/test",
                boot_timeout_seconds=300,
            )
        )
        scenario = tmp_path / "scenario.json"
        scenario.write_text(
            json.dumps(
                {
                    "user_data": document,
                    "bucket": "models-bucket",
                    "model": "chat/1.0",
                    "objects": {name: content.hex() for name, content in held.items()},
                    "boots": boots,
                    "target_states": target_states,
                }
            )
        )
        result = tmp_path / "result.json"
        ran = subprocess.run(
            [*NAMESPACE, sys.executable, str(WORLD), str(scenario), str(result)],
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert result.exists(), ran.stdout + ran.stderr
        seen: dict[str, Any] = json.loads(result.read_text())
        return seen

    return booted


def answers(seen: dict[str, Any]) -> list[str]:
    return [answer["LifecycleActionResult"] for answer in seen["answers"]]


def called(seen: dict[str, Any], program: str) -> list[list[str]]:
    return [call["arguments"] for call in seen["calls"] if call["program"] == program]


def test_a_node_boots_without_egress_and_reports_ready(boot: Boot, key: Ed25519PrivateKey) -> None:
    seen = boot(objects(key), boots=2, target_states=("Warmed:Running", "InService"))

    # Only loopback was there: no route to any other address, and no name has an address.
    network = seen["network"]
    assert (network["interfaces"], network["connection"]) == (["lo"], f"OSError {errno.ENETUNREACH}")
    assert network["name"].startswith("gaierror")
    assert seen["statuses"] == [0, 0], seen["log"]

    # The model is in place, byte for byte; the second boot found it there.
    model = {path: bytes.fromhex(content) for path, content in seen["model"].items()}
    assert {path: model.pop(path) for path in FILES} == FILES
    assert sorted(model) == ["manifest.json", "manifest.json.sig"]
    assert seen["log"].count("3/3 ") == 1
    assert seen["log"].count("model chat 1.0 verified") == 2
    assert seen["engine_environment"] == "MODEL_FOLDER=/var/lib/ferry/models/chat/1.0\n"

    # The agent comes first; the registry's password comes by stdin only, and nothing of it is left.
    registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
    config = ["--config", "/run/ferry/docker"]
    agent = ["-a", "fetch-config", "-m", "ec2", "-s", "-c", "file:/opt/ferry/agent.json"]
    assert seen["calls"][0] == {"program": "amazon-cloudwatch-agent-ctl", "arguments": agent}
    login, pull, run = called(seen, "docker")[:3]
    assert login == [*config, "login", "--username", "AWS", "--password-stdin", registry]
    assert seen["calls"][1]["stdin"].strip()
    assert seen["calls"][1]["stdin"].strip() not in json.dumps([call["arguments"] for call in seen["calls"]])
    assert pull == [*config, "pull", "--quiet", f"{registry}/vllm:0.33"]
    assert seen["registry_logins_left"] == []
    assert run == [
        *("run", "--rm", "--name", "ferry-engine", "--gpus", "all", "--publish", "8000:8000", "--shm-size", "16g"),
        *("--log-driver", "none", "--pull", "never", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--mount", "type=bind,source=/var/lib/ferry/models/chat/1.0,target=/model,readonly"),
        *("--env", "HF_HUB_OFFLINE=1", "--env", "TRANSFORMERS_OFFLINE=1"),
        *("--env", "DO_NOT_TRACK=1", "--env", "VLLM_NO_USAGE_STATS=1", "--entrypoint", "vllm", f"{registry}/vllm:0.33"),
        *("serve", "/model", "--served-model-name", "chat", "--host=0.0.0.0", "--port", "8000"),
        *("--tensor-parallel-size", "2", "--max-num-seqs", "48", "--max-model-len", "8192"),
        *("--gpu-memory-utilization", "0.9", "--hf-overrides", '{"a": "b $c 100%"}'),
    ]
    assert called(seen, "systemctl")[:2] == [
        ["restart", "ferry-metrics.service", "ferry-engine.service"],
        ["restart", "ferry-lifecycle.service"],
    ]

    # Each boot answers the hook, and so does the watcher when the node leaves the warm pool; nobody answers twice.
    assert answers(seen) == ["CONTINUE", "CONTINUE", "CONTINUE"]
    assert seen["answers"][0] == {
        "Action": "CompleteLifecycleAction",
        "Version": "2011-01-01",
        "AutoScalingGroupName": "ferry-test-blue",
        "InstanceId": "i-0123456789abcdef0",
        "LifecycleHookName": "node-ready",
        "LifecycleActionResult": "CONTINUE",
    }


def signed_by_another(held: dict[str, bytes], suffix: str) -> dict[str, bytes]:
    name = next(name for name in held if name.endswith(suffix))
    return {**held, f"{name}.sig": Ed25519PrivateKey.generate().sign(held[name])}


def flipped(held: dict[str, bytes], suffix: str) -> dict[str, bytes]:
    name = next(name for name in held if name.endswith(suffix))
    return {**held, name: bytes([held[name][0] ^ 1]) + held[name][1:]}


def without(held: dict[str, bytes], suffix: str) -> dict[str, bytes]:
    return {name: content for name, content in held.items() if not name.endswith(suffix)}


REFUSALS: dict[str, tuple[Callable[[Ed25519PrivateKey], dict[str, bytes]], str]] = {
    "bundle signed by another key": (
        lambda key: signed_by_another(objects(key), "node-bundle.tar.gz"),
        "is not signed with a verification key in user data",
    ),
    "another bundle of ours under that name": (
        lambda key: {
            **objects(key),
            bundle_key(node_bundle.build()): b"older",
            f"{bundle_key(node_bundle.build())}.sig": key.sign(b"older"),
        },
        "is signed, but it is not the bundle that its name says",
    ),
    "one bit flipped": (lambda key: flipped(objects(key), ".safetensors"), "model.safetensors was altered: sha256 is"),
    "a file missing": (
        lambda key: without(objects(key), "tokenizer.json"),
        "missing in s3://models-bucket/models/chat/1.0/: t/tokenizer.json",
    ),
    "a file too many": (
        lambda key: {**objects(key), f"{PREFIX}modeling.py": b"import os"},
        "in s3://models-bucket/models/chat/1.0/, but not in manifest.json: modeling.py",
    ),
    "a path out of the folder": (
        lambda key: objects(key, {**FILES, "../../../../etc/cron.d/x": b"x"}),
        "manifest.json has the path '../../../../etc/cron.d/x', which leaves the model's folder",
    ),
}


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.replace(" ", "-"))
def test_a_node_gives_up_on_what_is_not_as_it_was_signed(boot: Boot, key: Ed25519PrivateKey, case: str) -> None:
    held, cause = REFUSALS[case]
    seen = boot(held(key))
    assert answers(seen) == ["ABANDON"]
    assert seen["statuses"] == [1]
    last = [line for line in seen["log"].splitlines() if "ABANDON:" in line]
    assert len(last) == 1
    assert cause in last[0]
    assert not seen["model_folder_exists"]
    assert called(seen, "docker") == called(seen, "systemctl") == []


def test_a_node_without_a_verification_key_gives_up_before_it_fetches_anything(
    boot: Boot, key: Ed25519PrivateKey
) -> None:
    seen = boot(objects(key), with_key=False)
    assert answers(seen) == ["ABANDON"]
    assert "ABANDON: user data has no verification key" in seen["log"]
    assert not seen["model_folder_exists"]
    assert called(seen, "docker") == called(seen, "systemctl") == []
