"""`ferry attest`: a secret in the embedded KMS goes to the machine that proves itself, and to nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from typer.testing import CliRunner

from ferry import ledger
from ferry.attestation.nonces import Nonces
from ferry.attestation.release import encoded, load_public_key, wrap
from ferry.attestation.verification import answer
from ferry.cli import app
from ferry.errors import AttestationError, FerryError, InvalidField
from ferry.rehearsal.account import EmbeddedAccount
from tests.unit.attestation.machine import FINGERPRINT, MEASUREMENT, NONCE, NOW, SHARED, VLEK_SIGNED, Machine, pem

KEY = rsa.generate_private_key(65537, 3072)
"""The machine's: its private half never leaves it."""
SECRET = b"correct horse battery staple"
OAEP = padding.OAEP(mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=None)
Run = Callable[..., str]


def public_pem(key: Any) -> bytes:
    return bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def machine(nonce: bytes, key: rsa.RSAPrivateKey = KEY) -> Machine:
    """One of shared tenancy that answers a nonce with its key."""
    answered = answer(nonce, encoded(key.public_key()))
    return replace(Machine().but(signer=VLEK_SIGNED), chip_id=bytes(64), report_data=answered)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: EmbeddedAccount) -> Run:
    """Run `ferry attest …` beside the files of a request: what it printed, or the error's message, by exit code."""
    kms = account.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    monkeypatch.setattr(boto3, "client", lambda name: {"kms": kms}[name])
    monkeypatch.chdir(tmp_path)
    Path("secret.kms").write_bytes(kms.encrypt(KeyId=key, Plaintext=SECRET)["CiphertextBlob"])
    Path("chain.pem").write_bytes(pem(*SHARED))
    Path("machine.pem").write_bytes(public_pem(KEY))
    request = (
        f"--certificates chain.pem --measurement {MEASUREMENT.hex()} --root {FINGERPRINT} --public-key machine.pem "
    )
    broker = f"--minimum-tcb 3.0.8.115 --secret secret.kms --kms-key {key} -o wrapped --state state "

    def execute(line: str, *, code: int = 0) -> str:
        arguments = line.replace("REQUEST", request).replace("BROKER", broker)
        result = CliRunner().invoke(app, ["attest", *arguments.split()])
        if isinstance(result.exception, FerryError):
            assert code == 1, result.exception
            return str(result.exception)
        assert result.exit_code == code, result.output
        return result.output

    return execute


def asked(run: Run) -> bytes:
    return bytes.fromhex(run("nonce --state state").strip())


def answered(nonce: bytes, **changed: Any) -> str:
    Path("report.bin").write_bytes(replace(machine(nonce), **changed).report())
    return f"release report.bin REQUEST BROKER --nonce {nonce.hex()}"


def test_a_machine_that_proves_itself_gets_the_secret_and_nobody_else_sees_it(run: Run) -> None:
    nonce = asked(run)
    said = run(answered(nonce))
    wrapped = Path("wrapped").read_bytes()
    assert KEY.decrypt(wrapped, OAEP) == SECRET
    assert "released" in said
    everything = said.encode() + b"".join(one.read_bytes() for one in Path("state").rglob("*") if one.is_file())
    assert SECRET not in everything + wrapped
    issued, released = ledger.read(Path("state"))
    assert (issued["verb"], issued["result"]) == ("attest nonce", f"issued {nonce.hex()}")
    assert (released["verb"], released["result"]) == ("attest release", "released")
    figures = released["figures"]
    assert (figures["measurement"], figures["tcb"], figures["endorsement"]) == (MEASUREMENT.hex(), "3.0.8.115", "VLEK")
    assert (figures["nonce"], figures["root_sha256"]) == (nonce.hex(), FINGERPRINT)
    assert len(figures["wrapped_sha256"]) == len(figures["public_key_sha256"]) == 64


def test_a_nonce_is_good_for_one_request(run: Run) -> None:
    again = answered(asked(run))
    run(again)
    Path("wrapped").unlink()
    assert "freshness: the nonce has been used before; expected issued here" in " ".join(run(again, code=3).split())
    assert not Path("wrapped").exists()


def test_a_nonce_of_nobody_is_refused(run: Run) -> None:
    assert "was not issued here" in run(answered(NONCE), code=3)
    assert [line["result"].partition(":")[0] for line in ledger.read(Path("state"))] == ["refused"]


def test_a_request_that_is_refused_uses_its_nonce_up_and_kms_is_not_asked(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    nonce = asked(run)
    with monkeypatch.context() as patched:
        patched.setattr(boto3, "client", lambda name: None)
        refused = json.loads(run(f"{answered(nonce, tcb=(3, 0, 7, 115))} --json", code=3))
    assert (refused["accepted"], refused["released"]) == (False, False)
    assert [one.partition(":")[0] for one in refused["refusals"]] == ["firmware", "minimum TCB"]
    assert "used before" in run(answered(nonce), code=3)
    assert not Path("wrapped").exists()


def test_the_key_of_somebody_between_gets_nothing(run: Run) -> None:
    request = answered(asked(run))
    Path("machine.pem").write_bytes(public_pem(rsa.generate_private_key(65537, 3072)))
    assert "refused: nonce:" in " ".join(run(request, code=3).split())


def test_what_kms_refuses_is_said_and_recorded(run: Run, account: EmbeddedAccount) -> None:
    request = answered(asked(run))
    other = account.client("kms").create_key()["KeyMetadata"]["KeyId"]
    said = run(f"{request} --kms-key {other}", code=1)
    assert said.startswith(f"KMS key {other} did not decrypt: ")
    assert said.endswith("; it needs kms:Decrypt")
    assert ledger.read(Path("state"))[-1]["result"] == f"failed: {said}"
    assert not Path("wrapped").exists()


def test_what_cannot_be_recorded_is_not_released(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    request = answered(asked(run))
    monkeypatch.setattr(ledger, "_append", lambda *given, **named: (_ for _ in ()).throw(OSError(28, "disk full")))
    assert "cannot be recorded: disk full" in run(request, code=1)
    assert not Path("wrapped").exists()


def test_verifying_alone_changes_nothing(run: Run) -> None:
    Path("report.bin").write_bytes(machine(NONCE).report())
    line = f"verify report.bin REQUEST --nonce {NONCE.hex()}"
    assert "accepted" in run(line)
    found = json.loads(run(f"{line} --json"))
    assert (found["accepted"], found["report"]["measurement"]) == (True, MEASUREMENT.hex())
    assert found["chain"] == {
        "endorsement": "VLEK", "product": "Milan", "tcb": "3.0.8.115", "cloud": "Amazon", "root_sha256": FINGERPRINT,
    }  # fmt: skip
    said = " ".join(run(f"{line} --minimum-tcb 3.0.9.0", code=3).split())
    assert "refused: minimum TCB: 3.0.8.115; expected 3.0.9.0 or newer in each part" in said
    assert not Path("state").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--measurement 00", "--measurement has 1 bytes, a launch measurement has 48"),
        ("--measurement xy", "--measurement 'xy': allowed are hexadecimal digits"),
        ("--root 00", "--root 00: is no SHA-256"),
        ("--minimum-tcb 3.0.8", "--minimum-tcb '3.0.8': allowed are four numbers"),
        ("--minimum-tcb 3.0.8.256", "allowed are four numbers of 0 to 255"),
        ("--public-key chain.pem", "chain.pem: is not a public key in PEM"),
        ("--certificates none.pem", "none.pem: the certificate cannot be read"),
    ],
)
def test_an_option_that_cannot_be_meant_is_an_error(run: Run, option: str, said: str) -> None:
    Path("report.bin").write_bytes(machine(NONCE).report())
    assert said in run(f"verify report.bin REQUEST --nonce {NONCE.hex()} {option}", code=1)


def test_nonces_are_single_use_and_grow_old(tmp_path: Path) -> None:
    nonces, limit = Nonces(tmp_path / "nonces"), timedelta(minutes=5)
    first, second, third = (nonces.issue(NOW) for _ in range(3))
    assert len({first, second, third}) == 3
    assert nonces.take(first, NOW + limit, limit) is None
    assert nonces.take(first, NOW, limit) == "has been used before"
    late = NOW + limit + timedelta(seconds=1)
    assert nonces.take(second, late, limit) == "was issued 301 s ago, allowed are 0 to 300"
    assert nonces.take(second, NOW, limit) == "has been used before"
    assert nonces.take(third, NOW - timedelta(seconds=1), limit) == "was issued -1 s ago, allowed are 0 to 300"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (rsa.generate_private_key(65537, 2048), "holds RSAPublicKey of 2048 bits, allowed is RSA of 3072 bits or more"),
        (ec.generate_private_key(ec.SECP384R1()), "holds ECPublicKey, allowed is RSA of 3072 bits or more"),
    ],
    ids=["short", "another kind"],
)
def test_a_key_that_a_secret_is_not_encrypted_for(tmp_path: Path, key: Any, said: str) -> None:
    (tmp_path / "key.pem").write_bytes(public_pem(key))
    with pytest.raises(InvalidField, match=said):
        load_public_key(tmp_path / "key.pem")


def test_a_secret_is_as_long_as_the_key_has_room() -> None:
    assert KEY.decrypt(wrap(bytes(318), KEY.public_key()), OAEP) == bytes(318)
    with pytest.raises(
        AttestationError, match=r"^the secret has 319 bytes, a key of 3072 bits takes 318: release a key"
    ):
        wrap(bytes(319), KEY.public_key())
