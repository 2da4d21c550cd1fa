"""The user data of a GPU node: how a bare Deep Learning AMI becomes one inference server, without the internet.

User data carries the verification keys, the boot script and the units. The programs that the boot script runs come from
S3 as a bundle that has to be signed with one of them; the model, too; the engine's image comes from the account's ECR.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import yaml

from stacks import public_keys
from stacks.settings import EngineSettings
from templates import agent, render
from templates.engine_metrics import ENGINES

USER_DATA_LIMIT_BYTES = 16_384
"""Before base64: docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html."""

ABANDON_MARGIN_SECONDS = 120
"""How long before the hook's timeout the node gives up by itself, so that the reason still reaches the log."""


@dataclass(frozen=True, kw_only=True)
class NodeBoot:
    """What one node has to know. Raises ValueError for a value that could not be a path or a key."""

    environment: str
    region: str
    partition: str
    version_name: str
    group_name: str
    lifecycle_hook_name: str
    model: str
    model_version: str
    bucket: str
    node_bundle_key: str | None
    """S3 key as `bundle_key` makes it; the signature lies at `<key>.sig`. None: the node refuses to boot."""
    verification_key: str | None
    """PEM of the public keys that are trusted, one after the other. None: the node refuses to boot."""
    registry: str
    """Host of the account's ECR registry."""
    engine: EngineSettings
    log_group: str
    boot_timeout_seconds: int = 1800
    """Heartbeat timeout of the lifecycle hook."""

    def __post_init__(self) -> None:
        if set(self.model_version) <= {"."}:
            raise ValueError(f"model version {self.model_version!r} cannot be a folder's name")
        if self.verification_key is not None:
            public_keys.split(self.verification_key)
        if self.boot_timeout_seconds <= ABANDON_MARGIN_SECONDS:
            raise ValueError(f"boot_timeout_seconds is {self.boot_timeout_seconds}, at most the margin to give up in")

    @property
    def image(self) -> str:
        """The engine's image with its registry."""
        return f"{self.registry}/{self.engine.image}"


def bundle_key(bundle: bytes, name: str = "node-bundle.tar.gz") -> str:
    """S3 key of a bundle. It names the content, so that a node accepts this bundle and no older one."""
    return f"bundles/{hashlib.sha256(bundle).hexdigest()[:16]}/{name}"


def user_data(boot: NodeBoot) -> str:
    """Return the `#cloud-config` document of a node. Raises ValueError beyond EC2's limit of 16 KB."""
    document = render("hybrid/cloud/user-data.yaml.j2", files=files(boot))
    if (size := len(document.encode())) > USER_DATA_LIMIT_BYTES:
        raise ValueError(
            f"user data has {size} bytes, EC2 takes {USER_DATA_LIMIT_BYTES};"
            f" shorten engine.extra_arguments of {boot.version_name}"
        )
    return document


def files(boot: NodeBoot) -> dict[str, str]:
    """What cloud-init writes before anything starts: path to content."""
    engine = boot.engine.name
    gauges = agent.agent_config(region=boot.region, engine=engine, log_group=boot.log_group)
    scrapes = agent.scrape_config(engine=engine, group_name=boot.group_name)
    names = ENGINES[engine]
    written = {
        "/opt/ferry/node.sh": render("hybrid/cloud/node.sh.j2", boot=boot, deadline=_deadline_seconds(boot)),
        "/opt/ferry/agent.json": json.dumps(gauges, indent=1) + "\n",
        agent.SCRAPE_CONFIG_PATH: yaml.safe_dump(scrapes, sort_keys=False),
        "/etc/systemd/system/ferry-node.service": render("hybrid/cloud/ferry-node.service.j2", log=agent.BOOT_LOG_PATH),
        "/etc/systemd/system/ferry-lifecycle.service": render(
            "hybrid/cloud/ferry-lifecycle.service.j2", log=agent.BOOT_LOG_PATH
        ),
        "/etc/systemd/system/ferry-metrics.service": render(
            "hybrid/cloud/ferry-metrics.service.j2",
            command=[
                *("/usr/bin/python3", "/opt/ferry/bundle/node_metrics.py"),
                *("--engine", agent.ENGINE_ADDRESS, "--listen", agent.NODE_METRICS_ADDRESS),
                *("--ttft", names.ttft_seconds, "--latency", names.latency_seconds),
            ],
        ),
        "/etc/systemd/system/ferry-engine.service": render(
            "hybrid/cloud/ferry-engine.service.j2", image=boot.image, command=engine_command(boot)
        ),
    }
    return written | verification_keys(boot.verification_key)


def verification_keys(pem: str | None) -> dict[str, str]:
    """A file for each of the public keys, since `openssl` takes one at a time: path to content."""
    trusted = [] if pem is None else public_keys.split(pem)
    return {f"/opt/ferry/verification-keys/{number}.pem": key for number, key in enumerate(trusted, start=1)}


def engine_command(boot: NodeBoot) -> list[str]:
    """The engine's entry point and arguments. The stack's own arguments come last, so that they win."""
    settings = boot.engine
    quantization = [] if settings.quantization is None else ["--quantization", settings.quantization]
    if settings.name == "vllm":
        # docs.vllm.ai/en/stable/cli/serve
        command = [
            *("vllm", "serve", "/model", "--served-model-name", boot.model, "--host=0.0.0.0", "--port", "8000"),
            *("--tensor-parallel-size", str(settings.tensor_parallel), "--max-num-seqs", str(settings.max_sequences)),
            *("--max-model-len", str(settings.max_model_tokens)),
            *("--gpu-memory-utilization", str(settings.gpu_memory_utilization)),
        ]
    else:
        # docs.sglang.io/advanced_features/server_arguments.html
        command = [
            *("python3", "-m", "sglang.launch_server", "--model-path", "/model", "--served-model-name", boot.model),
            *("--host=0.0.0.0", "--port", "8000", "--tp-size", str(settings.tensor_parallel)),
            *("--max-running-requests", str(settings.max_sequences)),
            *("--context-length", str(settings.max_model_tokens)),
            *("--mem-fraction-static", str(settings.gpu_memory_utilization), "--enable-metrics"),
        ]
    return [*command, *quantization, *settings.extra_arguments]


def _deadline_seconds(boot: NodeBoot) -> int:
    return boot.boot_timeout_seconds - ABANDON_MARGIN_SECONDS
