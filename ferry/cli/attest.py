"""`ferry attest verify`, `nonce` and `release`: whether a confidential machine is what it says, and a secret for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ferry.cli.options import Json
from ferry.cli.output import NO, note, show
from ferry.errors import FerryError, InvalidField, UnreadableInput, UnwritableOutput

if TYPE_CHECKING:
    from ferry.attestation.release import Released
    from ferry.attestation.report import Tcb

attest = typer.Typer(
    help="Verify what a confidential machine (AMD SEV-SNP) reports, and release a secret to it.", no_args_is_help=True
)

ReportFile = Annotated[Path, typer.Argument(metavar="REPORT", help="The attestation report: 1184 bytes, of VMPL 0.")]
Certificates = Annotated[
    list[Path],
    typer.Option(metavar="FILE", help="VLEK or VCEK, ASK or ASVK, ARK; PEM or DER, in one file or several; repeat it."),
]
Measurement = Annotated[
    list[str], typer.Option(metavar="HEX", help="Allowed launch measurement, SHA-384; may be repeated.")
]
Nonce = Annotated[str, typer.Option(metavar="HEX", help="What the machine was asked to answer.")]
Root = Annotated[
    list[str] | None,
    typer.Option(metavar="HEX", help="SHA-256 of the trusted root certificate; may be repeated [default: ARK-Milan]."),
]
MINIMUM = "Oldest firmware that is accepted, as BOOTLOADER.TEE.SNP.MICROCODE: 3.0.8.115"
State = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Nonces and ledger of this broker [default: ~/.local/state/ferry/attest]."),
]


@attest.command()
def verify(
    report: ReportFile,
    certificates: Certificates,
    measurement: Measurement,
    nonce: Nonce,
    public_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The machine's key, bound to the nonce [default: none is].")
    ] = None,
    minimum_tcb: Annotated[str | None, typer.Option(metavar="TCB", help=f"{MINIMUM} [default: any].")] = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Hold a report against what is expected of the machine. Reaches no network. Exit code 3: no."""
    from ferry.attestation import chain, verification
    from ferry.attestation.release import encoded, load_public_key
    from ferry.attestation.text import describe, document

    key = None if public_key is None else encoded(load_public_key(public_key))
    expected = verification.Expected(
        measurements=_measurements(measurement),
        report_data=verification.answer(_bytes("--nonce", nonce), key),
        minimum_tcb=None if minimum_tcb is None else _tcb(minimum_tcb),
        roots=_roots(root),
    )
    found = verification.verify(_read(report), str(report), chain.load(certificates), expected, datetime.now(UTC))
    told = "accepted" if found.accepted else f"refused: {'; '.join(found.refusals)}"
    show(document(found), describe(found, told), as_json)
    if not found.accepted:
        raise typer.Exit(NO)


@attest.command("nonce")
def issue(state: State = None, as_json: Json = False) -> None:
    """Print a new nonce for a machine to answer. It is good for one `ferry attest release`, for some minutes."""
    from ferry import ledger
    from ferry.attestation.nonces import Nonces

    folder = _state(state)
    nonce = Nonces(folder / "nonces").issue(datetime.now(UTC)).hex()
    ledger.append(folder, "attest nonce", inputs=[], outputs=[], forced=False, result=f"issued {nonce}")
    if as_json:
        show({"nonce": nonce}, "", as_json)
    else:
        sys.stdout.write(nonce + "\n")


@attest.command()
def release(
    report: ReportFile,
    certificates: Certificates,
    measurement: Measurement,
    minimum_tcb: Annotated[str, typer.Option(metavar="TCB", help=f"{MINIMUM}.")],
    nonce: Nonce,
    public_key: Annotated[Path, typer.Option(metavar="FILE", help="The machine's RSA key, PEM, 3072 bits or more.")],
    secret: Annotated[
        Path, typer.Option(metavar="FILE", help="The secret as KMS encrypted it (CiphertextBlob, binary).")
    ],
    kms_key: Annotated[str, typer.Option(metavar="ID", help="The key in KMS that it was encrypted with.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the secret goes, encrypted for the machine.")
    ],
    root: Root = None,
    max_age: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="How old the nonce may be.")] = 300,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Verify a report and, if it holds, decrypt a secret in KMS and encrypt it for that machine. Exit code 3: no.

    For a broker somewhere else than on the machine's host. The nonce is used up, whatever comes of it.
    """
    import hashlib

    import boto3

    from ferry import ledger
    from ferry.artefacts import write_whole
    from ferry.attestation import chain
    from ferry.attestation import release as releasing
    from ferry.attestation.nonces import Nonces
    from ferry.attestation.text import describe, document

    folder, key = _state(state), releasing.load_public_key(public_key)
    request = releasing.Request(
        report=_read(report),
        where=str(report),
        certificates=chain.load(certificates),
        public_key=key,
        nonce=_bytes("--nonce", nonce),
        measurements=_measurements(measurement),
        minimum_tcb=_tcb(minimum_tcb),
        roots=_roots(root),
    )
    key_sha256 = hashlib.sha256(releasing.encoded(key)).hexdigest()

    def record(result: str, figures: Mapping[str, Any]) -> None:
        ledger.append(
            folder,
            "attest release",
            inputs=[report, *certificates, public_key, secret],
            outputs=[],
            forced=False,
            result=result,
            figures={"nonce": nonce, "public_key_sha256": key_sha256, "kms_key": kms_key, **figures},
        )

    vault = releasing.Vault(boto3.client("kms"), kms_key, _read(secret))
    try:
        done = releasing.release(
            request, Nonces(folder / "nonces"), vault, now=datetime.now(UTC), max_age=timedelta(seconds=max_age)
        )
    except FerryError as error:
        record(f"failed: {error}", {})
        raise
    told = _told(done)
    # Before anybody can have the secret: what is not recorded is not released.
    record(told, _figures(done))
    if done.wrapped is not None:
        write_whole(output, done.wrapped)
    show(
        document(done.verification) | {"released": done.wrapped is not None, "output": str(output)},
        describe(done.verification, told),
        as_json,
    )
    if done.wrapped is None:
        raise typer.Exit(NO)
    note(f"{output}: for the machine, which alone can decrypt it", as_json)


def _told(done: Released) -> str:
    if done.wrapped is not None:
        return "released"
    return f"refused: {'; '.join(done.verification.refusals)}"


def _figures(done: Released) -> dict[str, Any]:
    """What of the machine the ledger keeps: numbers, no contents."""
    import hashlib

    report, chain = done.verification.report, done.verification.chain
    return {
        "measurement": report and report.measurement.hex(),
        "report_id": report and report.report_id.hex(),
        "tcb": report and str(report.reported_tcb),
        "endorsement": report and report.endorsement,
        "root_sha256": chain and chain.root_fingerprint,
        "wrapped_sha256": done.wrapped and hashlib.sha256(done.wrapped).hexdigest(),
    }


def _state(given: Path | None) -> Path:
    folder = given or Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "ferry" / "attest"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UnwritableOutput(f"{folder}: cannot be made: {error.strerror}; name another with --state DIR") from error
    return folder


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableInput(f"{path}: cannot be read: {error.strerror}") from error


def _bytes(option: str, digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        raise InvalidField(f"{option} {digits!r}: allowed are hexadecimal digits, two for each byte") from error


def _measurements(given: list[str]) -> list[bytes]:
    found = [_bytes("--measurement", digits) for digits in given]
    for one in found:
        if len(one) != 48:
            raise InvalidField(f"--measurement has {len(one)} bytes, a launch measurement has 48: give all 96 digits")
    return found


def _roots(given: list[str] | None) -> list[str]:
    from ferry.attestation.chain import ARK_MILAN

    for digits in given or []:
        if len(_bytes("--root", digits)) != 32:
            raise InvalidField(f"--root {digits}: is no SHA-256; give all 64 digits of the root certificate's")
    return [digits.lower() for digits in given or [ARK_MILAN]]


def _tcb(text: str) -> Tcb:
    from ferry.attestation.report import Tcb

    parts = text.split(".")
    if len(parts) != 4 or not all(part.isdecimal() and int(part) <= 255 for part in parts):
        raise InvalidField(f"--minimum-tcb {text!r}: allowed are four numbers of 0 to 255, as 3.0.8.115")
    return Tcb(*map(int, parts))
