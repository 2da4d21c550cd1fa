"""The user data of a gateway in the cloud: how a bare Amazon Linux becomes one Envoy, without the internet.

User data carries the verification keys, the boot script and the units. Envoy's configuration, which is the one of the
gateway at home, comes from S3 as a bundle that has to be signed with one of them; Envoy itself from the account's ECR.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from templates import ROOT, agent, render
from templates.node import USER_DATA_LIMIT_BYTES, verification_keys

GATEWAY_BUNDLE = "gateway-bundle.tar.gz"
PORT = 8080
"""Where Envoy listens: HTTP, inside the VPC only."""
LOG_FOLDER = "/var/log/ferry/gateway"
ENVOY_USER = 101
"""`envoy` in Envoy's own image: github.com/envoyproxy/envoy, distribution/docker/Dockerfile-envoy."""
ROTATE_BYTES = 2**28


@dataclass(frozen=True, kw_only=True)
class GatewayBoot:
    """What one gateway in the cloud has to know."""

    region: str
    group_name: str
    bucket: str
    bundle_key: str | None
    """S3 key of the gateway's bundle; the signature lies at `<key>.sig`. None: the node refuses to boot."""
    verification_key: str | None
    """PEM of the public keys that are trusted, one after the other. None: the node refuses to boot."""
    registry: str
    """Host of the account's ECR registry."""
    image: str
    """Envoy, as repository:tag."""
    log_group: str
    confidential: bool = False
    """Whether it has to have AMD's secure processor, and gets what proves it."""

    @property
    def full_image(self) -> str:
        """The image with its registry."""
        return f"{self.registry}/{self.image}"


def user_data(boot: GatewayBoot) -> str:
    """Return the `#cloud-config` document of a gateway. Raises ValueError beyond EC2's limit of 16 KB."""
    document = render("hybrid/cloud/user-data.yaml.j2", files=files(boot))
    if (size := len(document.encode())) > USER_DATA_LIMIT_BYTES:
        raise ValueError(f"user data of the gateway has {size} bytes, EC2 takes {USER_DATA_LIMIT_BYTES}")
    return document


def files(boot: GatewayBoot) -> dict[str, str]:
    """What cloud-init writes before anything starts: path to content."""
    units = "/etc/systemd/system"
    written = {
        "/opt/ferry/node.sh": render(
            "hybrid/cloud/gateway.sh.j2",
            boot=boot,
            port=PORT,
            logs=LOG_FOLDER,
            user=ENVOY_USER,
            rotate_bytes=ROTATE_BYTES,
        ),
        "/opt/ferry/agent.json": json.dumps(_agent_config(boot), indent=1) + "\n",
        f"{units}/ferry-node.service": render("hybrid/cloud/ferry-node.service.j2", log=agent.BOOT_LOG_PATH),
        f"{units}/ferry-gateway.service": render(
            "hybrid/cloud/ferry-gateway.service.j2",
            image=boot.full_image,
            port=PORT,
            logs=LOG_FOLDER,
            user=ENVOY_USER,
        ),
        f"{units}/ferry-rotate.service": render("hybrid/cloud/ferry-rotate.service.j2"),
        f"{units}/ferry-rotate.timer": render("hybrid/cloud/ferry-rotate.timer.j2"),
    }
    if boot.confidential:
        written["/opt/ferry/attest.py"] = (ROOT / "hybrid/cloud/attest.py").read_text(encoding="utf-8")
    return written | verification_keys(boot.verification_key)


def _agent_config(boot: GatewayBoot) -> dict[str, object]:
    """The boot log and the request log, which outlive the node in CloudWatch Logs."""
    streams = {agent.BOOT_LOG_PATH: "node", f"{LOG_FOLDER}/access.jsonl": "access", f"{LOG_FOLDER}/envoy.log": "envoy"}
    collected = [
        {"file_path": path, "log_group_name": boot.log_group, "log_stream_name": f"{{instance_id}}/{stream}"}
        for path, stream in streams.items()
    ]
    return {
        "agent": {"region": boot.region},
        "logs": {"force_flush_interval": 5, "logs_collected": {"files": {"collect_list": collected}}},
    }
