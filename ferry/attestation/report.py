"""ATTESTATION_REPORT: what AMD's secure processor says of a guest, byte by byte.

"SEV Secure Nested Paging Firmware ABI Specification", AMD publication 56860, table "ATTESTATION_REPORT Structure":
1184 bytes, numbers little-endian, signed over the first 0x2A0. Compared with two readers of it, google/go-sev-guest
(abi/abi.go) and virtee/sev. The layout of a TCB is that of Milan and Genoa; Turin's is another (see `chain`).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ferry.errors import AttestationError, UnreadableInput

SIZE = 0x4A0
SIGNED = 0x2A0
"""The signature is over what lies before it."""
NUMBER = 72
"""Bytes of each of r and s; P-384 needs 48, the rest is zero."""
VERSIONS = range(2, 6)
"""2 is the first of SNP's release. 3 adds the processor's family, model and stepping, 5 the mitigation vectors."""
ECDSA_P384_SHA384 = 1

Endorsement = Literal["VCEK", "VLEK"]
"""The key that signs: the chip's own (dedicated hosts), or one that the cloud has loaded into it (shared tenancy)."""


@dataclass(frozen=True)
class Tcb:
    """TCB_VERSION: the security patch level of each part of the firmware."""

    bootloader: int
    tee: int
    snp: int
    microcode: int

    @classmethod
    def parse(cls, value: bytes) -> Tcb:
        """Eight bytes, of which the middle four are reserved."""
        return cls(bootloader=value[0], tee=value[1], snp=value[6], microcode=value[7])

    def reaches(self, least: Tcb) -> bool:
        """Whether no part is older than `least`'s."""
        return all(own >= other for own, other in zip(astuple(self), astuple(least), strict=True))

    def __str__(self) -> str:
        """Bootloader, TEE, SNP, microcode: 3.0.8.115."""
        return ".".join(map(str, astuple(self)))


@dataclass(frozen=True)
class Policy:
    """GUEST_POLICY: what the guest's owner allows its host, decided at launch."""

    debug: bool
    """The host may read and change the guest's memory."""
    migration_agent: bool
    """Another guest may export the memory of this one."""
    smt: bool


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report, as it was signed. Digests and identifiers are bytes, as they stand in it."""

    version: int
    guest_svn: int
    policy: Policy
    family_id: bytes
    image_id: bytes
    vmpl: int
    """The privilege level that asked: 0 is the highest, that of the guest's own kernel."""
    endorsement: Endorsement
    chip_id_masked: bool
    platform_info: int
    report_data: bytes
    """64 bytes that the guest chose: it answers a nonce with them."""
    measurement: bytes
    """SHA-384 of what the guest's memory and processors began with."""
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    chip_id: bytes
    """Of one processor; zero where a VLEK signs or the host masks it."""
    current_tcb: Tcb
    reported_tcb: Tcb
    """That of the signing key: what the certificate states, too."""
    committed_tcb: Tcb
    """The host cannot go back behind it."""
    launch_tcb: Tcb
    signed: bytes
    signature: bytes
    """DER, as `cryptography` verifies it."""


def parse(data: bytes, where: str) -> Report:
    """Read a report. What is reserved has to be zero, so that no bit of it is left which nothing looks at.

    Raises UnreadableInput for another size, AttestationError for a version or a kind of signature that is not known.
    """
    if len(data) != SIZE:
        raise UnreadableInput(f"{where}: has {len(data)} bytes, an SEV-SNP attestation report has {SIZE}")
    version, algorithm = _number(data, 0x00, 4), _number(data, 0x34, 4)
    if version not in VERSIONS:
        allowed = f"{VERSIONS.start} to {VERSIONS[-1]}"
        raise AttestationError(
            f"{where}: is of version {version}, known are {allowed}: newer ones may mean other things"
        )
    if algorithm != ECDSA_P384_SHA384:
        raise AttestationError(f"{where}: signature algorithm is {algorithm}, known is 1 (ECDSA P-384 with SHA-384)")
    signer = _number(data, 0x48, 4)
    _refuse_reserved(data, version, where)
    policy = _number(data, 0x08, 8)
    return Report(
        version=version,
        guest_svn=_number(data, 0x04, 4),
        policy=Policy(debug=_bit(policy, 19), migration_agent=_bit(policy, 18), smt=_bit(policy, 16)),
        family_id=data[0x10:0x20],
        image_id=data[0x20:0x30],
        vmpl=_number(data, 0x30, 4),
        endorsement=_endorsement(signer, where),
        chip_id_masked=_bit(signer, 1),
        platform_info=_number(data, 0x40, 8),
        report_data=data[0x50:0x90],
        measurement=data[0x90:0xC0],
        host_data=data[0xC0:0xE0],
        id_key_digest=data[0xE0:0x110],
        author_key_digest=data[0x110:0x140],
        report_id=data[0x140:0x160],
        chip_id=data[0x1A0:0x1E0],
        current_tcb=Tcb.parse(data[0x38:0x40]),
        reported_tcb=Tcb.parse(data[0x180:0x188]),
        committed_tcb=Tcb.parse(data[0x1E0:0x1E8]),
        launch_tcb=Tcb.parse(data[0x1F0:0x1F8]),
        signed=data[:SIGNED],
        signature=encode_dss_signature(_number(data, SIGNED, NUMBER), _number(data, SIGNED + NUMBER, NUMBER)),
    )


def _endorsement(signer: int, where: str) -> Endorsement:
    kind = signer >> 2 & 0b111
    if kind == 0:
        return "VCEK"
    if kind == 1:
        return "VLEK"
    raise AttestationError(f"{where}: signing key is of kind {kind}, known are 0 (VCEK) and 1 (VLEK); 7 is none at all")


def _refuse_reserved(data: bytes, version: int, where: str) -> None:
    reserved = {
        "0x4C": data[0x4C:0x50],
        "0x188": data[0x18B if version >= 3 else 0x188 : 0x1A0],
        "0x1EB": data[0x1EB:0x1EC],
        "0x1EF": data[0x1EF:0x1F0],
        "0x1F8": data[0x208 if version >= 5 else 0x1F8 : SIGNED],
        "0x330": data[SIGNED + 2 * NUMBER :],
    }
    for place, content in reserved.items():
        if any(content):
            raise AttestationError(f"{where}: has something at {place}, where a report of version {version} has zeros")


def _number(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")


def _bit(value: int, place: int) -> bool:
    return bool(value >> place & 1)
