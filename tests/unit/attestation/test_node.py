"""The machine's side: its key, what it hands the secure processor, and that the broker and it understand each other."""

from __future__ import annotations

import base64
import ctypes
import io
import runpy
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from ferry.attestation import chain
from ferry.attestation.release import encoded, load_public_key, wrap
from ferry.attestation.verification import Expected, answer, verify
from templates.hybrid.cloud import attest
from tests.unit.attestation.machine import FINGERPRINT, MEASUREMENT, NONCE, NOW, SHARED, VLEK_SIGNED, Machine

STATUS = 0x16


class Processor:
    """/dev/sev-guest: reads and writes where the structures of Linux' sev-guest.h say."""

    def __init__(self, status: int = 0) -> None:
        self.status = status

    def ioctl(self, device: Any, number: int, call: bytearray) -> int:
        version, request, response, _ = struct.unpack("=B7xQQQ", call)
        assert (number, version) == (0xC0205302, 1)  # direction 3, size 32, type S, number 2
        report_data = ctypes.string_at(request, 64)
        vmpl, certificates, size = struct.unpack("=I28xQI", ctypes.string_at(request + 64, 44))
        assert (vmpl, size) == (0, 16384)
        machine = Machine(report_data=report_data, chip_id=bytes(64)).but(signer=VLEK_SIGNED)
        answered = struct.pack("=II24x", self.status, 1184) + machine.report()
        ctypes.memmove(response, answered, len(answered))
        blob, body, offset = b"", b"", 24 * (len(SHARED) + 1)
        for identifier, one in enumerate(SHARED, start=1):
            der = one.public_bytes(Encoding.DER)
            blob += struct.pack("=16sII", bytes([identifier] * 16), offset + len(body), len(der))
            body += der
        whole = blob + bytes(24) + body
        ctypes.memmove(certificates, whole, len(whole))
        return 0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sev-guest").touch()
    monkeypatch.setattr(attest, "DEVICE", tmp_path / "sev-guest")
    monkeypatch.setattr(attest, "FOLDER", tmp_path / "run")
    monkeypatch.setattr(attest.fcntl, "ioctl", Processor().ioctl)
    return tmp_path


def test_a_broker_believes_the_machine_which_alone_opens_the_secret(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attest.main(["request", NONCE.hex()]) == 0
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(capsys.readouterr().out))) as tar:
        assert tar.getnames() == ["report.bin", "public.pem", "certificates.pem"]
        tar.extractall(folder, filter="data")
    assert (folder / "run" / "private.pem").stat().st_mode & 0o777 == 0o600
    key = load_public_key(folder / "public.pem")
    certificates = chain.load([folder / "certificates.pem"])
    expected = Expected(measurements=[MEASUREMENT], report_data=answer(NONCE, encoded(key)), roots=[FINGERPRINT])
    assert verify((folder / "report.bin").read_bytes(), "report.bin", certificates, expected, NOW).accepted

    wrapped = io.TextIOWrapper(io.BytesIO(base64.encodebytes(wrap(b"a secret\n", key))))
    monkeypatch.setattr(attest.sys, "stdin", wrapped)
    assert attest.main(["open"]) == 0
    assert capsys.readouterr().out == "a secret\n"


def test_what_the_processor_refuses_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attest.fcntl, "ioctl", Processor(STATUS).ioctl)
    with pytest.raises(OSError, match="the secure processor answers with status 0x16"):
        attest.extended_report(bytes(64))


@pytest.mark.parametrize("arguments", [[], ["request"], ["open", "file"]])
def test_it_says_how_it_is_called(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert attest.main(arguments) == 2
    assert "attest.py request NONCE" in capsys.readouterr().err


def test_it_is_a_script_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attest.sys, "argv", ["attest.py"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(attest.__file__, run_name="__main__")
