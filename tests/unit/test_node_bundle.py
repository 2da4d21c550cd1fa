from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry import node_bundle, signing_key
from ferry.errors import InputError, UnreadableInput
from ferry.render import render
from stacks.settings import Settings
from tests.plans import empty_project, write_plan


def test_equal_sources_give_equal_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    for folder, names in {"a": ("x.py", "y.py"), "b": ("y.py", "x.py")}.items():
        for name in names:
            (tmp_path / folder / name).write_text(name)
    os.utime(tmp_path / "b" / "x.py", (1, 1))
    (tmp_path / "b" / "y.py").chmod(0o600)
    assert node_bundle.build(tmp_path / "a") == node_bundle.build(tmp_path / "b")


def test_the_bundle_holds_the_nodes_programs_and_nothing_else() -> None:
    with tarfile.open(fileobj=io.BytesIO(node_bundle.build()), mode="r:gz") as tar:
        entries = [(entry.name, entry.mode, entry.mtime, entry.uid, entry.uname) for entry in tar.getmembers()]
        assert entries == [("node_metrics.py", 0o644, 0, 0, ""), ("pull_model.py", 0o644, 0, 0, "")]
        content = tar.extractfile("pull_model.py")
        assert content is not None
        assert content.read() == (node_bundle.SOURCES / "pull_model.py").read_bytes()


def test_openssl_verifies_what_was_written(tmp_path: Path) -> None:
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout
    if not version.startswith("OpenSSL 3"):  # macOS ships LibreSSL, which has no -rawin
        pytest.skip(f"a node has OpenSSL 3, this machine {version.strip()}")
    rendered = render(write_plan(tmp_path / "plan.yaml"), project=empty_project(tmp_path / "project"))
    cloud = rendered.stack_file.parents[1] / "build" / "qa" / "cloud"
    bundle = Settings.load(rendered.stack_file).node_bundle
    assert bundle is not None
    (tmp_path / "key.pem").write_text(bundle.verification_key)
    verify = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(tmp_path / "key.pem")]
    path = cloud / "node-bundle.tar.gz"
    given = ["-in", str(path), "-sigfile", f"{path}.sig"]
    assert subprocess.run([*verify, *given], capture_output=True).returncode == 0
    path.write_bytes(path.read_bytes() + b"x")
    assert subprocess.run([*verify, *given], capture_output=True).returncode == 1
    assert sorted(path.name for path in cloud.iterdir() if "bundle" in path.name) == [
        "node-bundle.tar.gz",
        "node-bundle.tar.gz.sig",
    ]


def test_a_signing_key_is_never_replaced_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path, key = tmp_path / "keys" / "signing-key.pem", Ed25519PrivateKey.generate()
    signing_key.save_signing_key(path, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(FileExistsError):
        signing_key.save_signing_key(path, Ed25519PrivateKey.generate())
    assert signing_key.verification_key(signing_key.load_signing_key(path)) == signing_key.verification_key(key)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_signing_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "signing-key.pem"
    signing_key.save_signing_key(path, Ed25519PrivateKey.generate())
    path.chmod(mode)
    with pytest.raises(InputError, match=rf"has mode {mode:04o}, others may use it; run chmod 600"):
        signing_key.load_signing_key(path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signing-key.pem"
    path.write_bytes(
        generate_private_key(SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)
    with pytest.raises(UnreadableInput, match="has to be Ed25519"):
        signing_key.load_signing_key(path)
    path.write_text("no key")
    with pytest.raises(UnreadableInput, match="is not an Ed25519 private key in PEM"):
        signing_key.load_signing_key(path)
