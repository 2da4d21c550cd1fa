"""A node's surroundings on one machine without egress, and one boot in it. Run as root by test_boot.py:

    unshare --net --mount --pid --fork --kill-child python world.py SCENARIO.json RESULT.json

Real: the rendered files, bash, curl, openssl, tar, the AWS CLI, the puller. Emulated on loopback: S3, STS and ECR by
moto, instance metadata at its own address, and CompleteLifecycleAction, which moto lacks and this file records.
Stand-ins on PATH that record how they are called: docker, systemctl, amazon-cloudwatch-agent-ctl.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import yaml
from moto.server import ThreadedMotoServer

AWS = "http://127.0.0.1:5000"
LIFECYCLE = "http://127.0.0.1:5001"
INSTANCE = "i-0123456789abcdef0"
STAND_INS = Path(__file__).parent / "stand_ins"


def main(scenario_path: str, result_path: str) -> None:
    scenario: dict[str, Any] = json.loads(Path(scenario_path).read_text())
    own_file_systems(Path(scenario_path).parent / "world")
    loopback_only()
    metadata = serve(Metadata, "169.254.169.254", 80)
    lifecycle = serve(Lifecycle, "127.0.0.1", 5001)
    ThreadedMotoServer("127.0.0.1", 5000, verbose=False).start()
    fill_bucket(scenario)
    write_files(scenario["user_data"])

    metadata.target = scenario["target_states"][0]
    calls = Path(scenario_path).parent / "calls.jsonl"
    environment = {
        "PATH": f"{STAND_INS}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": "/root",
        "AWS_ENDPOINT_URL": AWS,
        "AWS_ENDPOINT_URL_AUTO_SCALING": LIFECYCLE,
        "CALLS": str(calls),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = ["/opt/ferry/node.sh", "boot"]
    boots = [
        subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(scenario["boots"])
    ]
    if len(scenario["target_states"]) > 1:
        watch(environment, metadata, lifecycle, scenario["target_states"][1:])

    model = Path("/var/lib/ferry/models") / scenario["model"]
    result = {
        "network": network(),
        "statuses": [boot.returncode for boot in boots],
        "log": "\n".join(boot.stdout for boot in boots),
        "answers": lifecycle.answers,
        "calls": [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else [],
        "model": {str(p.relative_to(model)): p.read_bytes().hex() for p in model.rglob("*") if p.is_file()},
        "model_folder_exists": model.exists(),
        "engine_environment": read("/run/ferry/engine.env"),
        "registry_logins_left": [str(p) for p in Path("/run/ferry").glob("docker/*")],
    }
    Path(result_path).write_text(json.dumps(result))
    os._exit(0)


def own_file_systems(scratch: Path) -> None:
    """Give this mount namespace its own writable layer over what a boot writes to."""
    scratch.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", str(scratch))
    for number, target in enumerate(("/opt", "/var/lib", "/var/log", "/etc/systemd/system")):
        upper, work = scratch / f"{number}-upper", scratch / f"{number}-work"
        upper.mkdir()
        work.mkdir()
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={target},upperdir={upper},workdir={work}", target)
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    Path("/var/log/ferry").mkdir()


def loopback_only() -> None:
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", "169.254.169.254/32", "dev", "lo")


def network() -> dict[str, Any]:
    """What this namespace can reach: its interfaces, and what becomes of a connection and a name."""
    links = json.loads(run("ip", "-json", "link"))
    found: dict[str, Any] = {"interfaces": [link["ifname"] for link in links]}
    for name, attempt in {
        "connection": lambda: socket.create_connection(("192.0.2.1", 443), timeout=5),
        "name": lambda: socket.getaddrinfo("s3.us-east-1.amazonaws.com", 443),
    }.items():
        try:
            attempt()
        except OSError as error:
            found[name] = type(error).__name__ + f" {error.errno}"
        else:
            found[name] = "reached"
    return found


def fill_bucket(scenario: dict[str, Any]) -> None:
    s3 = boto3.client("s3", endpoint_url=AWS, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    s3.create_bucket(Bucket=scenario["bucket"])
    for key, content in scenario["objects"].items():
        s3.put_object(Bucket=scenario["bucket"], Key=key, Body=bytes.fromhex(content))


def write_files(user_data: str) -> None:
    """What cloud-init's module write_files does."""
    for entry in yaml.safe_load(user_data)["write_files"]:
        path = Path(entry["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(entry["content"])
        path.chmod(int(entry["permissions"], 8))


def watch(environment: dict[str, str], metadata: Any, lifecycle: Any, states: list[str]) -> None:
    process = subprocess.Popen(["/opt/ferry/node.sh", "watch"], env=environment)
    for state in states:
        expected = len(lifecycle.answers) + 1
        metadata.target = state
        deadline = time.monotonic() + 30
        while len(lifecycle.answers) < expected and time.monotonic() < deadline:
            time.sleep(0.2)
    time.sleep(6)  # one more round: the same state is not answered twice
    process.terminate()


class Server(ThreadingHTTPServer):
    target = "InService"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.answers: list[dict[str, str]] = []


class Metadata(BaseHTTPRequestHandler):
    """IMDSv2, as much of it as a node asks for. Without a token it answers 401, as `http_tokens: required` does."""

    server: Server

    def do_PUT(self) -> None:
        self.reply(200, "token")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "token":
            return self.reply(401, "")
        expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        keys = {"AccessKeyId": "ASIAX", "SecretAccessKey": "x", "Token": "x", "Expiration": expiry, "Code": "Success"}
        answers = {
            "instance-id": INSTANCE,
            "autoscaling/target-lifecycle-state": self.server.target,
            "iam/security-credentials/": "node",
            "iam/security-credentials/node": json.dumps(keys),
        }
        answer = answers.get(self.path.removeprefix("/latest/meta-data/"))
        return self.reply(404, "") if answer is None else self.reply(200, answer)

    def reply(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "60")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


class Lifecycle(BaseHTTPRequestHandler):
    """EC2 Auto Scaling, for the one action that moto 5.2.5 does not know."""

    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.answers.append(dict(urllib.parse.parse_qsl(body)))
        answer = b"<CompleteLifecycleActionResponse><CompleteLifecycleActionResult/></CompleteLifecycleActionResponse>"
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def serve(handler: Any, host: str, port: int) -> Server:
    server = Server((host, port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def read(path: str) -> str | None:
    return Path(path).read_text() if Path(path).exists() else None


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
