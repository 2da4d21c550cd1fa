"""User data of a gateway in the cloud: what it writes, and that its boot trusts nothing unsigned."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry import node_bundle, signing_key
from templates.gateway_node import GATEWAY_BUNDLE, GatewayBoot, files, user_data
from templates.node import bundle_key

BUNDLE = node_bundle.pack({"envoy.yaml": b"static_resources: {}\n", "envoy.env": b"ENVOY_ARGUMENTS=-c envoy.yaml\n"})
VERIFY = """
source <(sed '/^case /,$d' {script})
RUN={folder}/run BUNDLE={folder}/gateway KEYS=({folder}/keys/*.pem)
mkdir -p "$RUN"
sleep() {{ :; }}
aws() {{ cp "{folder}/bucket/${{5##*/}}" "${{@: -1}}"; }}
trap finish EXIT
fetch_bundle
"""


def boot(**changes: Any) -> GatewayBoot:
    values: dict[str, Any] = {
        "region": "us-east-1",
        "group_name": "ferry-prod-gateway-tier",
        "bucket": "models",
        "bundle_key": bundle_key(BUNDLE, GATEWAY_BUNDLE),
        "verification_key": "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n",
        "registry": "123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "image": "envoy:v1.40.0",
        "log_group": "gateways",
    }
    return GatewayBoot(**(values | changes))


def test_the_user_data_is_the_files_and_starts_the_one_unit() -> None:
    document = yaml.safe_load(user_data(boot()))
    assert {each["path"]: each["content"] for each in document["write_files"]} == files(boot())
    assert document["runcmd"][-1] == ["systemctl", "start", "--no-block", "ferry-node.service"]


def test_a_confidential_gateway_gets_what_proves_it_and_does_not_boot_without() -> None:
    ordinary, confidential = files(boot()), files(boot(confidential=True))
    assert confidential.keys() - ordinary.keys() == {"/opt/ferry/attest.py"}
    assert len(user_data(boot(confidential=True))) < 16384
    check = "[[ -c /dev/sev-guest ]] || fail 'no /dev/sev-guest: "
    assert check in confidential["/opt/ferry/node.sh"]
    assert "sev-guest" not in ordinary["/opt/ferry/node.sh"]


def test_each_public_key_is_a_file_and_anything_else_is_refused() -> None:
    one, other = (signing_key.verification_key(Ed25519PrivateKey.generate()) for _ in range(2))
    written = files(boot(verification_key=one + other))
    folder = "/opt/ferry/verification-keys"
    assert {path: text for path, text in written.items() if path.startswith(folder)} == {
        f"{folder}/1.pem": one,
        f"{folder}/2.pem": other,
    }
    with pytest.raises(ValueError, match="is not public keys in PEM"):
        files(boot(verification_key="-----BEGIN PRIVATE KEY-----\n"))


def test_envoy_runs_without_privileges_and_beyond_the_reach_of_the_metadata() -> None:
    unit = files(boot())["/etc/systemd/system/ferry-gateway.service"]
    for option in (
        "--read-only",
        "--cap-drop ALL",
        "--user 101:101",
        "target=/gateway,readonly",
        "--publish 8080:8080",
    ):
        assert option in unit
    assert "--network" not in unit  # on the host's network, one hop would be enough to the role's credentials


@pytest.mark.parametrize("confidential", [False, True])
def test_the_boot_script_is_bash(tmp_path: Path, confidential: bool) -> None:
    script = tmp_path / "node.sh"
    script.write_text(files(boot(confidential=confidential))["/opt/ferry/node.sh"])
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("signed", "verified"),
        ("changed", "is not signed with a verification key"),
        ("by another key", "is not signed with a verification key"),
        ("an older one", "it is not the bundle that its name says"),
    ],
)
def test_only_the_signed_bundle_of_its_name_is_unpacked(tmp_path: Path, what: str, said: str) -> None:
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout
    if not version.startswith("OpenSSL 3"):
        pytest.skip(f"a node has OpenSSL 3, this machine {version.strip()}")
    key = Ed25519PrivateKey.generate()
    held = node_bundle.pack({"envoy.yaml": b"older"}) if what == "an older one" else BUNDLE
    signature = (Ed25519PrivateKey.generate() if what == "by another key" else key).sign(held)
    script, bucket = tmp_path / "node.sh", tmp_path / "bucket"
    bucket.mkdir()
    script.write_text(files(boot())["/opt/ferry/node.sh"])
    (tmp_path / "keys").mkdir()
    # Another key comes first: a node tries each.
    for number, trusted in enumerate([Ed25519PrivateKey.generate(), key], start=1):
        (tmp_path / "keys" / f"{number}.pem").write_text(signing_key.verification_key(trusted))
    (bucket / GATEWAY_BUNDLE).write_bytes(held + (b"x" if what == "changed" else b""))
    (bucket / f"{GATEWAY_BUNDLE}.sig").write_bytes(signature)
    ran = subprocess.run(
        ["bash", "-c", VERIFY.format(script=script, folder=tmp_path)],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    unpacked = tmp_path / "gateway" / "envoy.yaml"
    assert said in ran.stdout, ran.stdout + ran.stderr
    assert (ran.returncode, unpacked.exists()) == ((0, True) if what == "signed" else (1, False))


def test_a_key_names_the_content_of_the_gateways_bundle() -> None:
    assert (
        bundle_key(BUNDLE, GATEWAY_BUNDLE) == f"bundles/{hashlib.sha256(BUNDLE).hexdigest()[:16]}/gateway-bundle.tar.gz"
    )
