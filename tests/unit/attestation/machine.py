"""A machine with a secure processor of its own making: keys, certificates and reports in AMD's formats.

No report of a real machine lies in the repository. With the keys of ARK, ASK and ASVK in hand each statement of the
certificates and of the report can be made wrong alone, which no recorded report allows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ferry.attestation.verification import Expected

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TCB = (3, 0, 8, 115)
CHIP = bytes(range(64))
MEASUREMENT = bytes(range(48))
NONCE = bytes(range(100, 132))
RSASSA_PSS = PSS(mgf=MGF1(SHA384()), salt_length=48)
FIELDS = {
    "version": (0x00, 4),
    "guest_svn": (0x04, 4),
    "policy": (0x08, 8),
    "vmpl": (0x30, 4),
    "algorithm": (0x34, 4),
    "signer": (0x48, 4),
}
ROOT_KEY, MIDDLE_KEY = (rsa.generate_private_key(65537, 2048) for _ in range(2))
"""AMD's have 4096 bits, which take seconds to make."""
CHIP_KEY = ec.generate_private_key(ec.SECP384R1())


def issue(name: str, key: Any, issuer: str, issuer_key: Any, *, ca: bool, **changed: Any) -> x509.Certificate:
    """A certificate as AMD signs them. `extensions`: of the endorsement keys, by the end of their OID."""
    parameters = {"begin": datetime(2020, 1, 1, tzinfo=UTC), "end": datetime(2045, 1, 1, tzinfo=UTC), "serial": 65536}
    parameters |= {"padding": RSASSA_PSS, "hash": SHA384(), "extensions": {}, **changed}
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(parameters["serial"])
        .not_valid_before(parameters["begin"])
        .not_valid_after(parameters["end"])
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    for oid, value in parameters["extensions"].items():
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.3.6.1.4.1.3704.1.{oid}"), value)
        builder = builder.add_extension(unknown, critical=False)
    return builder.sign(issuer_key, parameters["hash"], rsa_padding=parameters["padding"])


def _name(common: str) -> x509.Name:
    parts = {NameOID.ORGANIZATION_NAME: "Advanced Micro Devices", NameOID.COMMON_NAME: common}
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts.items()])


def extensions(*, tcb: tuple[int, int, int, int] = TCB, **more: bytes) -> dict[str, bytes]:
    """The statements of an endorsement key's certificate."""
    levels = dict(zip(("3.1", "3.2", "3.3", "3.8"), tcb, strict=True))
    return {oid: _integer(level) for oid, level in levels.items()} | {oid.strip("_"): one for oid, one in more.items()}


def _integer(level: int) -> bytes:
    content = level.to_bytes(2, "big") if level > 127 else bytes([level])
    return bytes([2, len(content)]) + content


def text(value: str) -> bytes:
    """IA5String."""
    return bytes([0x16, len(value)]) + value.encode()


def vcek_certificate(**changed: Any) -> x509.Certificate:
    statements = extensions() | {"2": text("Milan-B0"), "4": CHIP} | changed.pop("extensions", {})
    given = {
        "name": "SEV-VCEK",
        "issuer": "SEV-Milan",
        "issuer_key": MIDDLE_KEY,
        "key": CHIP_KEY,
        "ca": False,
    } | changed
    return issue(**given, extensions={oid: one for oid, one in statements.items() if one})


def vlek_certificate(**changed: Any) -> x509.Certificate:
    statements = {"2": text("Milan"), "4": b"", "5": text("Amazon")} | changed.pop("extensions", {})
    return vcek_certificate(**{"name": "SEV-VLEK", "issuer": "SEV-VLEK-Milan", "extensions": statements} | changed)


def middle_certificate(name: str = "SEV-Milan", **changed: Any) -> x509.Certificate:
    return issue(
        **{"name": name, "key": MIDDLE_KEY, "issuer": "ARK-Milan", "issuer_key": ROOT_KEY, "ca": True} | changed
    )


def root_certificate(**changed: Any) -> x509.Certificate:
    return issue(
        **{"name": "ARK-Milan", "key": ROOT_KEY, "issuer": "ARK-Milan", "issuer_key": ROOT_KEY, "ca": True} | changed
    )


@dataclass(frozen=True)
class Machine:
    """What a verifier gets to see: a report, as its fields say, and certificates. `wrong` changes bytes, then signs."""

    fields: dict[str, int] = field(
        default_factory=lambda: {"version": 2, "policy": 0x30000, "vmpl": 0, "algorithm": 1, "signer": 0}
    )
    report_data: bytes = NONCE.ljust(64, b"\0")
    chip_id: bytes = CHIP
    tcb: tuple[int, int, int, int] = TCB
    key: ec.EllipticCurvePrivateKey = CHIP_KEY
    wrong: dict[int, int] = field(default_factory=dict)

    def but(self, **fields: int) -> Machine:
        """The same one with other fields."""
        return replace(self, fields=self.fields | fields)

    def report(self) -> bytes:
        data = bytearray(0x4A0)
        for name, value in self.fields.items():
            offset, size = FIELDS[name]
            data[offset : offset + size] = value.to_bytes(size, "little")
        data[0x50:0x90], data[0x90:0xC0], data[0x1A0:0x1E0] = self.report_data, MEASUREMENT, self.chip_id
        data[0x140:0x160] = bytes(range(32))
        for offset in (0x38, 0x180, 0x1E0, 0x1F0):
            data[offset], data[offset + 1], data[offset + 6], data[offset + 7] = self.tcb
        for offset, value in self.wrong.items():
            data[offset] = value
        numbers = decode_dss_signature(self.key.sign(bytes(data[:0x2A0]), ec.ECDSA(SHA384())))
        for place, number in zip((0x2A0, 0x2E8), numbers, strict=True):
            data[place : place + 72] = number.to_bytes(72, "little")
        return bytes(data)


ROOT = root_certificate()
DEDICATED = (vcek_certificate(), middle_certificate(), ROOT)
SHARED = (vlek_certificate(), middle_certificate("SEV-VLEK-Milan"), ROOT)
FINGERPRINT = ROOT.fingerprint(SHA256()).hex()
EXPECTED = Expected(measurements=[MEASUREMENT], report_data=NONCE.ljust(64, b"\0"), roots=[FINGERPRINT])
VLEK_SIGNED = 0b100


def pem(*certificates: x509.Certificate) -> bytes:
    """All of them in one file."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
