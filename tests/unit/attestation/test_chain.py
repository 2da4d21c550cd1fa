from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from ferry.attestation.chain import build, load
from ferry.attestation.report import Tcb
from ferry.errors import AttestationError, UnreadableInput
from tests.unit.attestation import machine
from tests.unit.attestation.machine import (
    CHIP,
    DEDICATED,
    FINGERPRINT,
    NOW,
    ROOT,
    RSASSA_PSS,
    SHARED,
    extensions,
    middle_certificate,
    pem,
    root_certificate,
    text,
    vcek_certificate,
    vlek_certificate,
)

OTHER_KEY = rsa.generate_private_key(65537, 2048)


def chain(certificates: Sequence[x509.Certificate], kind: Any = "VCEK", now: datetime = NOW) -> Any:
    return build(certificates, kind, [FINGERPRINT], now)


def test_a_dedicated_host_signs_with_the_key_of_its_chip() -> None:
    found = chain(DEDICATED)
    assert (found.endorsement, found.product, found.tcb) == ("VCEK", "Milan", Tcb(3, 0, 8, 115))
    assert (found.chip_id, found.cloud, found.root_fingerprint) == (CHIP, None, FINGERPRINT)


def test_shared_tenancy_signs_with_a_key_that_amd_gave_to_the_cloud() -> None:
    found = chain(SHARED, "VLEK")
    assert (found.endorsement, found.chip_id, found.cloud) == ("VLEK", None, "Amazon")


def test_more_certificates_than_needed_do_no_harm() -> None:
    assert chain([*SHARED, *DEDICATED, ROOT]).endorsement == "VCEK"


def with_root(key: Any, **changed: Any) -> list[x509.Certificate]:
    """A chain that is right in itself, up to a root that somebody else has made."""
    root = root_certificate(key=key, issuer_key=key, **changed)
    return [vcek_certificate(), middle_certificate(issuer_key=key), root]


WRONG: dict[str, tuple[Callable[[], Sequence[x509.Certificate]], str]] = {
    "no leaf": (lambda: DEDICATED[1:], "^the certificate of the VCEK is SEV-VCEK, of which 0 are among those given"),
    "no intermediate": (lambda: (DEDICATED[0], ROOT), "^what vouches for it is SEV-Milan, of which 0"),
    "no root": (lambda: DEDICATED[:2], "^AMD's root key is ARK-Milan, of which 0"),
    "two leaves": (lambda: [*DEDICATED, vcek_certificate(serial=7)], "SEV-VCEK, of which 2"),
    "another's root": (lambda: with_root(OTHER_KEY), "^root certificate ARK-Milan has SHA-256 .*, trusted is"),
    "a root that is only named like it": (
        lambda: [vcek_certificate(), middle_certificate(issuer_key=OTHER_KEY), ROOT],
        "^SEV-Milan: is not signed by the ARK-Milan given",
    ),
    "a leaf of another chain": (
        lambda: [vcek_certificate(issuer_key=OTHER_KEY), *DEDICATED[1:]],
        "^SEV-VCEK: is not signed by the SEV-Milan given",
    ),
    "a leaf of the intermediate for the other kind": (
        lambda: [vcek_certificate(issuer="SEV-VLEK-Milan"), *DEDICATED[1:]],
        "^SEV-VCEK: is not signed by the SEV-Milan given",
    ),
    "an older scheme": (
        lambda: [vcek_certificate(padding=PKCS1v15()), *DEDICATED[1:]],
        r"^SEV-VCEK: is signed by 1\.2\.840\.113549\.1\.1\.12, AMD signs by RSASSA-PSS with SHA-384",
    ),
    "a shorter hash": (
        lambda: [vcek_certificate(hash=SHA256()), *DEDICATED[1:]],
        "AMD signs by RSASSA-PSS with SHA-384",
    ),
    "an intermediate that may not sign": (
        lambda: [DEDICATED[0], middle_certificate(ca=False), ROOT],
        "^SEV-Milan: is no certificate authority",
    ),
    "an RSA key for reports": (
        lambda: [vcek_certificate(key=OTHER_KEY), *DEDICATED[1:]],
        "has a key of another kind than ECDSA P-384",
    ),
    "a shorter key for reports": (
        lambda: [vcek_certificate(key=ec.generate_private_key(ec.SECP256R1())), *DEDICATED[1:]],
        "has a key of another kind than ECDSA P-384",
    ),
    "a processor whose TCB means something else": (
        lambda: [vcek_certificate(extensions={"2": text("Turin")}), *DEDICATED[1:]],
        "^SEV-VCEK: is for Turin, known are Milan and Genoa",
    ),
    "no patch level": (
        lambda: [vcek_certificate(extensions={"3.8": b""}), *DEDICATED[1:]],
        r"^SEV-VCEK: has no extension 1\.3\.6\.1\.4\.1\.3704\.1\.3\.8",
    ),
    "a patch level that is none": (
        lambda: [vcek_certificate(extensions={"3.8": b"\x02\x01\xff"}), *DEDICATED[1:]],
        "is 0201ff, which is no patch level",
    ),
    "a name that is none": (
        lambda: [vcek_certificate(extensions={"2": b"\x04\x05Milan"}), *DEDICATED[1:]],
        "is 04054d696c616e, which is no text",
    ),
    "no chip": (
        lambda: [vcek_certificate(extensions={"4": b""}), *DEDICATED[1:]],
        r"has no extension 1\.3\.6\.1\.4\.1\.3704\.1\.4",
    ),
}


@pytest.mark.parametrize(("certificates", "said"), WRONG.values(), ids=WRONG)
def test_a_chain_that_does_not_lead_to_the_root_is_refused(
    certificates: Callable[[], Sequence[x509.Certificate]], said: str
) -> None:
    with pytest.raises(AttestationError, match=said):
        chain(certificates())


def test_the_key_of_a_chip_does_not_stand_for_that_of_the_cloud() -> None:
    with pytest.raises(AttestationError, match=r"^the certificate of the VLEK is SEV-VLEK, of which 0"):
        chain(DEDICATED, "VLEK")
    with pytest.raises(AttestationError, match=r"^SEV-VLEK: is not signed by the SEV-VLEK-Milan given"):
        chain([vlek_certificate(issuer="SEV-Milan"), *SHARED[1:]], "VLEK")
    with pytest.raises(AttestationError, match=r"^SEV-VLEK: has no extension 1\.3\.6\.1\.4\.1\.3704\.1\.5"):
        chain([vlek_certificate(extensions={"5": b""}), *SHARED[1:]], "VLEK")


@pytest.mark.parametrize("which", ["SEV-VCEK", "SEV-Milan", "ARK-Milan"])
def test_each_certificate_has_its_time(which: str) -> None:
    short = {"begin": NOW - timedelta(days=1), "end": NOW + timedelta(days=1)}
    made = [
        vcek_certificate(**(short if which == "SEV-VCEK" else {})),
        middle_certificate(**(short if which == "SEV-Milan" else {})),
        root_certificate(**(short if which == "ARK-Milan" else {})),
    ]
    roots = [made[2].fingerprint(SHA256()).hex()]
    assert build(made, "VCEK", roots, NOW).product == "Milan"
    for now in (NOW - timedelta(days=2), NOW + timedelta(days=2)):
        with pytest.raises(AttestationError, match=f"^{which}: is valid from 2026-11-23 to 2026-11-25, and it is"):
            build(made, "VCEK", roots, now)


def test_certificates_lie_in_one_file_or_in_several(tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_bytes(pem(*DEDICATED[1:]))
    (tmp_path / "vcek.der").write_bytes(DEDICATED[0].public_bytes(Encoding.DER))
    assert load([tmp_path / "vcek.der", tmp_path / "chain.pem"]) == list(DEDICATED)


def test_a_certificate_with_serial_number_0_is_read_as_amd_makes_them(tmp_path: Path) -> None:
    made = vcek_certificate(serial=1)
    begin = b"\xa0\x03\x02\x01\x02\x02\x01"
    body = made.tbs_certificate_bytes.replace(begin + b"\x01", begin + b"\x00")
    whole = made.public_bytes(Encoding.DER).replace(made.tbs_certificate_bytes, body)
    signature = machine.MIDDLE_KEY.sign(body, RSASSA_PSS, SHA384())
    (tmp_path / "vcek.der").write_bytes(whole[: -len(signature)] + signature)
    assert begin + b"\x00" in whole
    (read,) = load([tmp_path / "vcek.der"])
    assert chain([read, *DEDICATED[1:]]).tcb == Tcb(3, 0, 8, 115)


@pytest.mark.parametrize("content", [b"", b"noise", b"-----BEGIN CERTIFICATE-----\nnoise\n"])
def test_what_is_no_certificate_is_not_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "it").write_bytes(content)
    with pytest.raises(UnreadableInput, match="is not a certificate in PEM or DER"):
        load([tmp_path / "it"])
    with pytest.raises(UnreadableInput, match="cannot be read: No such file"):
        load([tmp_path / "none"])


def test_patch_levels_reach_255() -> None:
    certificate = vcek_certificate(extensions=extensions(tcb=(4, 0, 24, 219)))
    assert chain([certificate, *DEDICATED[1:]]).tcb == Tcb(4, 0, 24, 219)
