from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ferry.attestation.report import Tcb
from ferry.attestation.verification import Expected, Verification, answer, verify
from ferry.errors import InvalidField
from tests.unit.attestation.machine import (
    CHIP,
    DEDICATED,
    EXPECTED,
    MEASUREMENT,
    NONCE,
    NOW,
    SHARED,
    VLEK_SIGNED,
    Machine,
    vcek_certificate,
)

IN_THE_CLOUD = replace(Machine().but(signer=VLEK_SIGNED), chip_id=bytes(64))


def asked(machine: Machine, certificates: Any = DEDICATED, *, now: Any = NOW, **expected: Any) -> Verification:
    wanted: Expected = replace(EXPECTED, **expected)
    return verify(machine.report(), "r.bin", certificates, wanted, now)


def test_a_machine_is_accepted_when_everything_holds() -> None:
    found = asked(Machine(), minimum_tcb=Tcb(3, 0, 8, 115))
    assert (found.accepted, found.refusals) == (True, [])
    assert [finding.check for finding in found.findings] == [
        "certificates", "signature", "firmware", "chip", "measurement", "nonce", "minimum TCB", "debugging",
        "migration agent", "VMPL",
    ]  # fmt: skip


def test_a_machine_of_shared_tenancy_is_accepted_by_the_key_of_its_cloud() -> None:
    found = asked(IN_THE_CLOUD, SHARED)
    assert found.accepted
    assert found.findings[0].found.startswith("VLEK of Milan, given to Amazon, root ")
    assert "chip" not in {finding.check for finding in found.findings}


REFUSED: dict[str, tuple[Machine, dict[str, Any], str]] = {
    "debugging": (Machine().but(policy=0x30000 | 1 << 19), {}, "debugging: allowed by the guest's policy"),
    "migration": (Machine().but(policy=0x30000 | 1 << 18), {}, "migration agent: allowed by the guest's policy"),
    "less than the kernel": (Machine().but(vmpl=1), {}, "VMPL: 1; expected 0"),
    "another nonce": (
        replace(Machine(), report_data=bytes(64)), {}, f"nonce: {bytes(64).hex()}; expected {NONCE.hex()}",
    ),
    "another beginning": (Machine(), {"measurements": [bytes(48)]}, f"measurement: {MEASUREMENT.hex()}; expected 00"),
    "old microcode": (
        Machine(), {"minimum_tcb": Tcb(3, 0, 8, 116)}, "minimum TCB: 3.0.8.115; expected 3.0.8.116 or newer",
    ),
    "old bootloader": (
        Machine(), {"minimum_tcb": Tcb(4, 0, 8, 115)}, "minimum TCB: 3.0.8.115; expected 4.0.8.115 or newer",
    ),
    "firmware that the key is not for": (
        replace(Machine(), tcb=(3, 0, 8, 116)), {}, "firmware: TCB 3.0.8.116; expected 3.0.8.115, as certified",
    ),
    "another chip": (replace(Machine(), chip_id=bytes(64)), {}, f"chip: {bytes(64).hex()}; expected {CHIP.hex()}"),
    "a masked chip": (
        replace(Machine().but(signer=0b10), chip_id=bytes(64)), {}, f"chip: masked by the host; expected {CHIP.hex()}",
    ),
    "another key": (
        replace(Machine(), key=ec.generate_private_key(ec.SECP384R1())), {}, "signature: not made by that key",
    ),
    "another root": (Machine(), {"roots": ["00" * 32]}, "certificates: root certificate ARK-Milan has SHA-256"),
    "AMD's own root, which has not signed this": (
        Machine(), {"roots": list(Expected(measurements=[], report_data=b"").roots)}, "certificates: root certificate",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("machine", "expected", "said"), REFUSED.values(), ids=REFUSED)
def test_a_machine_is_refused_for_one_thing_and_told_which(
    machine: Machine, expected: dict[str, Any], said: str
) -> None:
    found = asked(machine, **expected)
    (refusal,) = found.refusals
    assert not found.accepted
    assert refusal.startswith(said)


def test_an_expired_chain_is_refused_and_the_rest_is_asked_all_the_same() -> None:
    found = asked(Machine().but(vmpl=3), now=NOW + timedelta(days=365 * 30))
    assert [refusal.partition(":")[0] for refusal in found.refusals] == ["certificates", "VMPL"]


def test_a_report_of_the_cloud_needs_the_key_of_the_cloud() -> None:
    (refusal,) = asked(IN_THE_CLOUD, DEDICATED).refusals
    assert refusal.startswith("certificates: the certificate of the VLEK is SEV-VLEK, of which 0")


def test_old_firmware_is_refused_also_where_its_own_key_signs() -> None:
    older = (2, 0, 5, 68)
    certificates = [
        vcek_certificate(extensions={"3.1": b"\x02\x01\x02", "3.3": b"\x02\x01\x05", "3.8": b"\x02\x01\x44"}),
        *DEDICATED[1:],
    ]
    machine = replace(Machine(), tcb=older)
    assert asked(machine, certificates).accepted
    assert asked(machine, certificates, minimum_tcb=Tcb(3, 0, 8, 115)).refusals == [
        "minimum TCB: 2.0.5.68; expected 3.0.8.115 or newer in each part"
    ]


def test_the_answer_to_a_nonce_binds_the_key() -> None:
    assert answer(NONCE) == NONCE + bytes(32)
    assert answer(bytes(64)) == bytes(64)
    assert answer(NONCE, b"key") == hashlib.sha512(NONCE + b"key").digest()


@pytest.mark.parametrize(
    ("nonce", "key", "allowed"), [(31, None, "32 to 64"), (65, None, "32 to 64"), (31, b"k", "32"), (33, b"k", "32")]
)
def test_a_nonce_is_as_long_as_it_has_to_be(nonce: int, key: bytes | None, allowed: str) -> None:
    with pytest.raises(InvalidField, match=f"^the nonce has {nonce} bytes, allowed are {allowed};"):
        answer(bytes(nonce), key)
