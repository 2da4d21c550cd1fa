"""What has to hold of a report before anybody believes the machine that sent it; each thing with what was found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA384

from ferry.attestation import chain as chains
from ferry.attestation.chain import ARK_MILAN, Chain
from ferry.attestation.report import Report, Tcb, parse
from ferry.errors import AttestationError, InvalidField

DATA_BYTES = 64
"""Of report_data, which the guest chooses."""
NONCE_BYTES = 32
"""The least that nobody guesses, and what Ferry issues."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a report is held against."""

    measurements: Sequence[bytes]
    """SHA-384 of each beginning that is allowed."""
    report_data: bytes
    """The answer to the nonce, see `answer`."""
    minimum_tcb: Tcb | None = None
    """None: firmware of any age, and the result says so."""
    roots: Sequence[str] = (ARK_MILAN,)


@dataclass(frozen=True)
class Finding:
    """One thing that was asked, and what came of it."""

    check: str
    holds: bool
    found: str
    expected: str


@dataclass(frozen=True, kw_only=True)
class Verification:
    """All that was asked of a report. `report` and `chain` are None where they could not be read or believed."""

    findings: Sequence[Finding]
    report: Report | None = None
    chain: Chain | None = None

    @property
    def accepted(self) -> bool:
        """Whether everything holds."""
        return all(finding.holds for finding in self.findings)

    @property
    def refusals(self) -> list[str]:
        """A sentence for each thing that does not."""
        return [f"{one.check}: {one.found}; expected {one.expected}" for one in self.findings if not one.holds]


def answer(nonce: bytes, public_key: bytes | None = None) -> bytes:
    """What a guest puts into report_data: the nonce and zeros, or SHA-512 of the nonce and its public key (DER, SPKI).

    The hash binds the key to the report: nobody between the guest and the verifier can put in another. Raises
    InvalidField for a nonce of another length: 32 to 64 bytes, with a key exactly 32, so that key and nonce cannot
    borrow from each other.
    """
    longest = DATA_BYTES if public_key is None else NONCE_BYTES
    if not NONCE_BYTES <= len(nonce) <= longest:
        allowed = f"{NONCE_BYTES} to {longest}" if longest > NONCE_BYTES else str(NONCE_BYTES)
        raise InvalidField(f"the nonce has {len(nonce)} bytes, allowed are {allowed}; `ferry attest nonce` makes one")
    return nonce.ljust(DATA_BYTES, b"\0") if public_key is None else hashlib.sha512(nonce + public_key).digest()


def verify(
    data: bytes, where: str, certificates: Sequence[x509.Certificate], expected: Expected, now: datetime
) -> Verification:
    """Ask everything, also after something does not hold. Raises UnreadableInput for what has another size."""
    try:
        report = parse(data, where)
    except AttestationError as error:
        return Verification(findings=[Finding("format", False, str(error), "a report as AMD's firmware writes it")])
    findings = list(_of_report(report, expected))
    try:
        chain = chains.build(certificates, report.endorsement, expected.roots, now)
    except AttestationError as error:
        refused = Finding("certificates", False, str(error), "a chain to a trusted root of AMD's")
        return Verification(findings=[refused, *findings], report=report)
    return Verification(findings=[*_of_signature(report, chain), *findings], report=report, chain=chain)


def _of_signature(report: Report, chain: Chain) -> Iterator[Finding]:
    whose = f"{chain.endorsement} of {chain.product}" + (f", given to {chain.cloud}" if chain.cloud else "")
    yield Finding("certificates", True, f"{whose}, root {chain.root_fingerprint}", "a chain to a trusted root of AMD's")
    try:
        chain.key.verify(report.signature, report.signed, ECDSA(SHA384()))
        signed = True
    except (InvalidSignature, ValueError):
        signed = False
    yield Finding(
        "signature",
        signed,
        f"by the {chain.endorsement}" if signed else "not made by that key: the report was altered, or is another's",
        "of the key in the certificate",
    )
    yield Finding(
        "firmware", report.reported_tcb == chain.tcb, f"TCB {report.reported_tcb}", f"{chain.tcb}, as certified"
    )
    if chain.chip_id is not None:
        yield Finding(
            "chip",
            report.chip_id == chain.chip_id,
            "masked by the host" if report.chip_id_masked else report.chip_id.hex(),
            f"{chain.chip_id.hex()}, as certified",
        )


def _of_report(report: Report, expected: Expected) -> Iterator[Finding]:
    yield Finding(
        "measurement",
        report.measurement in expected.measurements,
        report.measurement.hex(),
        " or ".join(one.hex() for one in expected.measurements),
    )
    yield Finding(
        "nonce", report.report_data == expected.report_data, report.report_data.hex(), expected.report_data.hex()
    )
    least = expected.minimum_tcb
    yield Finding(
        "minimum TCB",
        least is None or report.reported_tcb.reaches(least),
        str(report.reported_tcb),
        "not asked for" if least is None else f"{least} or newer in each part",
    )
    yield Finding("debugging", not report.policy.debug, _allowed(report.policy.debug), "refused by the guest's policy")
    agent = report.policy.migration_agent
    yield Finding("migration agent", not agent, _allowed(agent), "refused by the guest's policy")
    yield Finding("VMPL", report.vmpl == 0, str(report.vmpl), "0, the guest's own kernel")


def _allowed(yes: bool) -> str:
    return "allowed by the guest's policy" if yes else "refused by the guest's policy"
