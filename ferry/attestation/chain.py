"""The certificates between a report and AMD: the key that signed it, an intermediate, and the root that is pinned.

"Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification", AMD publication 57230:

| key of the report     | certificate | signed by                       | signed by         |
|-----------------------|-------------|---------------------------------|-------------------|
| VCEK, dedicated hosts | SEV-VCEK    | ASK, `SEV-Milan`                | ARK, `ARK-Milan`  |
| VLEK, shared tenancy  | SEV-VLEK    | ASVK, `SEV-VLEK-Milan`          | ARK, `ARK-Milan`  |

The first has an ECDSA P-384 key, the others RSA of 4096; all are signed by RSASSA-PSS with SHA-384. Revocation is not
asked for: that would need the network (https://kdsintf.amd.com/vcek/v1/Milan/crl). A firmware that became unsafe is
refused by the minimum TCB instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PSS
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from ferry.attestation.report import Endorsement, Tcb
from ferry.errors import AttestationError, UnreadableInput

ARK_MILAN = "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd"
"""SHA-256 of the DER of ARK-Milan, valid 2020-10-22 to 2045-10-22: https://kdsintf.amd.com/vlek/v1/Milan/cert_chain.

Computed in November 2026 from the certificate in google/go-sev-guest (af1c107, verify/trust/ask_ark_milan.pem and
ask_ark_milan_vlek.pem) and from that in virtee/sev (9cf2adb, src/certs/snp/builtin/milan/ark.pem): the same one. EC2's
SEV-SNP instances are Milan: docs.aws.amazon.com/AWSEC2/latest/UserGuide/snp-attestation.html.
"""
PRODUCTS = ("Milan", "Genoa")
"""Whose TCB has the layout that `report` reads."""
_AMD = "1.3.6.1.4.1.3704.1"
_TCB = {"bootloader": f"{_AMD}.3.1", "tee": f"{_AMD}.3.2", "snp": f"{_AMD}.3.3", "microcode": f"{_AMD}.3.8"}


@dataclass(frozen=True)
class Chain:
    """What the certificates say of the key that signs reports, verified up to the root."""

    endorsement: Endorsement
    key: EllipticCurvePublicKey
    """What verifies a report."""
    root_fingerprint: str
    """SHA-256 of the root's DER, in hexadecimal digits."""
    product: str
    """Milan or Genoa."""
    tcb: Tcb
    """The firmware that this key exists for."""
    chip_id: bytes | None
    """Of the processor; a VLEK belongs to none."""
    cloud: str | None
    """Whom AMD has given a VLEK to."""


def load(paths: Sequence[Path]) -> list[x509.Certificate]:
    """The certificates of some files, each in DER or any number in PEM. Raises UnreadableInput."""
    return [certificate for path in paths for certificate in _load(path)]


def _load(path: Path) -> list[x509.Certificate]:
    try:
        content = path.read_bytes()
        with warnings.catch_warnings():
            # AMD's endorsement keys have serial number 0, which RFC 5280 does not allow.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            if b"-----BEGIN" in content:
                return x509.load_pem_x509_certificates(content)
            return [x509.load_der_x509_certificate(content)]
    except OSError as error:
        raise UnreadableInput(f"{path}: the certificate cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UnreadableInput(f"{path}: is not a certificate in PEM or DER: {error}") from error


def build(
    certificates: Sequence[x509.Certificate], endorsement: Endorsement, roots: Sequence[str], now: datetime
) -> Chain:
    """The chain for a kind of endorsement key, verified up to one of the roots (SHA-256 of the DER, hexadecimal).

    Raises AttestationError where one is missing, not signed by the next, expired, of another role, or the root is not
    pinned.
    """
    leaf = _named(certificates, f"SEV-{endorsement}", f"the certificate of the {endorsement}")
    product = _product(leaf)
    middle = f"SEV-{product}" if endorsement == "VCEK" else f"SEV-VLEK-{product}"
    intermediate = _named(certificates, middle, "what vouches for it")
    root = _named(certificates, f"ARK-{product}", "AMD's root key")
    if (found := root.fingerprint(SHA256()).hex()) not in roots:
        raise AttestationError(f"root certificate ARK-{product} has SHA-256 {found}, trusted is {', '.join(roots)}")
    for one, issuer in ((leaf, intermediate), (intermediate, root), (root, root)):
        _signed_by(one, issuer)
        _in_time(one, now)
    for authority in (intermediate, root):
        _may_sign(authority)
    if not isinstance(key := leaf.public_key(), EllipticCurvePublicKey) or not isinstance(key.curve, SECP384R1):
        raise AttestationError(f"{_name(leaf)}: has a key of another kind than ECDSA P-384, which signs reports")
    return Chain(
        endorsement=endorsement,
        key=key,
        root_fingerprint=found,
        product=product,
        tcb=Tcb(**{part: _level(leaf, oid) for part, oid in _TCB.items()}),
        chip_id=_value(leaf, f"{_AMD}.4") if endorsement == "VCEK" else None,
        cloud=_text(_value(leaf, f"{_AMD}.5"), leaf) if endorsement == "VLEK" else None,
    )


def _named(certificates: Sequence[x509.Certificate], name: str, what: str) -> x509.Certificate:
    found = list({one.fingerprint(SHA256()): one for one in certificates if _name(one) == name}.values())
    if len(found) == 1:
        return found[0]
    given = ", ".join(_name(one) for one in certificates) or "none"
    raise AttestationError(f"{what} is {name}, of which {len(found)} are among those given ({given}); give one")


def _signed_by(one: x509.Certificate, issuer: x509.Certificate) -> None:
    scheme = one.signature_algorithm_parameters
    if not isinstance(scheme, PSS) or not isinstance(one.signature_hash_algorithm, SHA384):
        found = one.signature_algorithm_oid.dotted_string
        raise AttestationError(f"{_name(one)}: is signed by {found}, AMD signs by RSASSA-PSS with SHA-384")
    try:
        one.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise AttestationError(
            f"{_name(one)}: is not signed by the {_name(issuer)} given: forged, or of another chain"
        ) from error


def _in_time(one: x509.Certificate, now: datetime) -> None:
    begin, end = one.not_valid_before_utc, one.not_valid_after_utc
    if not begin <= now <= end:
        raise AttestationError(
            f"{_name(one)}: is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, and it is {now:%Y-%m-%d}; get a new one, "
            "or set the clock"
        )


def _may_sign(authority: x509.Certificate) -> None:
    try:
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = None
    if constraints is None or not constraints.ca:
        raise AttestationError(f"{_name(authority)}: is no certificate authority")


def _product(leaf: x509.Certificate) -> str:
    named = _text(_value(leaf, f"{_AMD}.2"), leaf)
    product = named.partition("-")[0]  # Milan-B0, with the stepping, where the key is that of one chip
    if product not in PRODUCTS:
        known = " and ".join(PRODUCTS)
        raise AttestationError(f"{_name(leaf)}: is for {named}, known are {known}: others lay a TCB out otherwise")
    return product


def _value(leaf: x509.Certificate, oid: str) -> bytes:
    try:
        extension = leaf.extensions.get_extension_for_oid(x509.ObjectIdentifier(oid)).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise AttestationError(f"{_name(leaf)}: has no extension {oid}, as AMD's have") from error
    return extension.value if isinstance(extension, x509.UnrecognizedExtension) else b""


def _level(leaf: x509.Certificate, oid: str) -> int:
    """INTEGER 0 to 255, in DER."""
    value = _value(leaf, oid)
    if value[:1] != b"\x02" or value[1:2] != bytes([len(value) - 2]) or not 0 <= (level := _integer(value)) <= 255:
        raise AttestationError(f"{_name(leaf)}: extension {oid} is {value.hex()}, which is no patch level")
    return level


def _integer(value: bytes) -> int:
    return int.from_bytes(value[2:], "big", signed=True)


def _text(value: bytes, leaf: x509.Certificate) -> str:
    """IA5String of less than 128 characters, in DER."""
    if value[:1] != b"\x16" or value[1:2] != bytes([len(value) - 2]) or not value.isascii():
        raise AttestationError(f"{_name(leaf)}: an extension is {value.hex()}, which is no text")
    return value[2:].decode("ascii")


def _name(one: x509.Certificate) -> str:
    names = one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else "a certificate without a name"
