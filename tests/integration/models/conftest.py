"""versitygw, a server that speaks S3 and refuses bytes whose checksum is wrong, and the command line against it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from ferry.cli import app
from ferry.errors import FerryError
from ferry.signing_key import save_signing_key, verification_key

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "ferry", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("versitygw")
    for name in ("data", "versions"):
        (root / name).mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["versitygw", "--port", f"127.0.0.1:{port}", "--quiet", "--health", "/health"]
    command += ["posix", "--versioning-dir", str(root / "versions"), str(root / "data")]
    environment = {
        **os.environ,
        "ROOT_ACCESS_KEY": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "ROOT_SECRET_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }
    with (
        (root / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                    break
            except OSError:
                assert time.monotonic() < deadline, (root / "log").read_text()
                assert process.poll() is None, (root / "log").read_text()
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@dataclass
class Site:
    """A machine with a key, a state folder, and a bucket of its own."""

    root: Path
    bucket: str
    endpoint_url: str
    s3: Any

    @property
    def public_key(self) -> Path:
        return self.root / "public.pem"

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "FERRY_MODEL_BUCKET": self.bucket,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "XDG_STATE_HOME": str(self.root),
        }
        return {**CREDENTIALS, **own}

    def folder(self, name: str, files: dict[str, bytes]) -> Path:
        for path, content in files.items():
            (self.root / name / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name / path).write_bytes(content)
        return self.root / name

    def keys(self, prefix: str = "") -> list[str]:
        return [
            entry["Key"] for entry in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        ]


@pytest.fixture
def site_at(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Site]:
    def make(endpoint_url: str) -> Site:
        s3 = boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}),
        )
        bucket = f"models-{abs(hash((request.node.nodeid, os.getpid())))}"
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        site = Site(tmp_path, bucket, endpoint_url, s3)
        key = Ed25519PrivateKey.generate()
        save_signing_key(tmp_path / "key.pem", key)
        site.public_key.write_text(verification_key(key))
        return site

    return make


@pytest.fixture
def site(gateway: str, site_at: Callable[[str], Site]) -> Site:
    return site_at(gateway)


@pytest.fixture
def ferry(site: Site) -> Callable[..., Any]:
    """Run `ferry models …` in this process. Gives the JSON, or the text of a run that ends with `code`."""
    return command_line(site)


def command_line(site: Site) -> Callable[..., Any]:
    def run(*arguments: str | Path, code: int | None = None) -> Any:
        signs = arguments[0] in ("push", "promote", "import-lfs")
        key = ["--signing-key", str(site.root / "key.pem")] if signs else ["--key", str(site.public_key)]
        line = ["models", *map(str, arguments), *key]
        result = CliRunner().invoke(app, line if code is not None else [*line, "--json"], env=site.environment)
        if isinstance(result.exception, FerryError) and code == 1:
            return str(result.exception)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == (code or 0), result.output
        return result.output if code is not None else json.loads(result.stdout)

    return run
