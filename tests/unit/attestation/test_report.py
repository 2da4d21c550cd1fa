from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferry.attestation.report import SIZE, Policy, Tcb, parse
from ferry.attestation.verification import verify
from ferry.errors import AttestationError, UnreadableInput
from tests.unit.attestation.machine import CHIP, DEDICATED, EXPECTED, MEASUREMENT, NONCE, NOW, Machine

REPORT = Machine().report()


def accepted(data: bytes) -> bool:
    return verify(data, "r.bin", DEDICATED, EXPECTED, NOW).accepted


def test_a_report_says_who_signed_it_and_what_it_began_with() -> None:
    report = parse(REPORT, "r.bin")
    assert (report.version, report.endorsement, report.vmpl, report.chip_id_masked) == (2, "VCEK", 0, False)
    assert report.policy == Policy(debug=False, migration_agent=False, smt=True)
    assert (report.measurement, report.report_data, report.chip_id) == (MEASUREMENT, NONCE.ljust(64, b"\0"), CHIP)
    assert {report.current_tcb, report.reported_tcb, report.committed_tcb, report.launch_tcb} == {Tcb(3, 0, 8, 115)}
    assert (str(report.reported_tcb), report.report_id) == ("3.0.8.115", bytes(range(32)))


@pytest.mark.parametrize(("version", "offset"), [(3, 0x188), (5, 0x200)])
def test_a_newer_version_says_more(version: int, offset: int) -> None:
    machine = Machine(wrong={offset: 7})
    assert parse(machine.but(version=version).report(), "r.bin").version == version
    with pytest.raises(
        AttestationError, match=rf"^r.bin: has something at 0x\w+, where a report of version {version - 1}"
    ):
        parse(machine.but(version=version - 1).report(), "r.bin")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"version": 1}, "is of version 1, known are 2 to 5"),
        ({"version": 6}, "is of version 6, known are 2 to 5"),
        ({"algorithm": 0}, "signature algorithm is 0, known is 1"),
        ({"signer": 7 << 2}, "signing key is of kind 7, known are 0"),
    ],
)
def test_what_is_not_known_is_refused(fields: dict[str, int], said: str) -> None:
    data = Machine().but(**fields).report()
    with pytest.raises(AttestationError, match=said):
        parse(data, "r.bin")
    (refusal,) = verify(data, "r.bin", DEDICATED, EXPECTED, NOW).refusals
    assert refusal.startswith(f"format: r.bin: {said}")


@pytest.mark.parametrize("size", [0, SIZE - 1, SIZE + 1])
def test_a_file_of_another_size_is_no_report(size: int) -> None:
    with pytest.raises(UnreadableInput, match=f"^r.bin: has {size} bytes, an SEV-SNP attestation report has 1184$"):
        parse(bytes(size), "r.bin")


@pytest.mark.parametrize("offset", [0x4C, 0x188, 0x19F, 0x1EB, 0x1EF, 0x1F8, 0x29F])
def test_what_is_reserved_is_zero_also_in_a_report_that_is_signed(offset: int) -> None:
    with pytest.raises(AttestationError, match="where a report of version 2 has zeros"):
        parse(Machine(wrong={offset: 1}).report(), "r.bin")


def test_no_byte_of_a_report_can_be_changed() -> None:
    assert accepted(REPORT)
    for offset in range(SIZE):
        changed = bytearray(REPORT)
        changed[offset] ^= 1 << offset * 5 % 8
        assert not accepted(bytes(changed)), hex(offset)


@given(st.dictionaries(st.integers(0, SIZE - 1), st.integers(1, 255), min_size=1, max_size=8))
def test_no_bytes_of_a_report_can_be_changed_together(changes: dict[int, int]) -> None:
    changed = bytearray(REPORT)
    for offset, bits in changes.items():
        changed[offset] ^= bits
    assert not accepted(bytes(changed))


@given(st.binary(min_size=SIZE, max_size=SIZE))
def test_noise_is_refused_and_breaks_nothing(data: bytes) -> None:
    assert not accepted(REPORT[:0x40] + data[0x40:])


def test_firmware_is_as_old_as_its_oldest_part() -> None:
    assert Tcb(3, 0, 8, 115).reaches(Tcb(3, 0, 8, 115))
    assert Tcb(4, 1, 9, 200).reaches(Tcb(3, 0, 8, 115))
    for older in (Tcb(2, 9, 9, 255), Tcb(3, 0, 7, 255), Tcb(9, 9, 9, 114)):
        assert not older.reaches(Tcb(3, 0, 8, 115))
