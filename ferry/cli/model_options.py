"""What the verbs of `ferry models` share: their options, the keys, and what this machine remembers."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ferry.errors import FerryError, InputError, InvalidField

if TYPE_CHECKING:
    from ferry.models.memory import Memory
    from ferry.models.repository import Repository
    from ferry.models.signature import Signer, TrustedKeys

Bucket = Annotated[
    str, typer.Option("--bucket", envvar="FERRY_MODEL_BUCKET", help="The bucket: `pulumi stack output model_bucket`.")
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url",
        envvar=["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
        help="Where S3 is, if it is not AWS's own [default: AWS].",
    ),
]
Keys = Annotated[
    list[Path] | None,
    typer.Option(
        "--key", metavar="FILE", help="Trusted public key in PEM; may be repeated [default: the signing key's own]."
    ),
]
SigningKey = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Ed25519 private key [default: PROJECT/.ferry/signing-key.pem, as render made it]."
    ),
]
KmsKey = Annotated[
    str | None, typer.Option(metavar="ID", help="Asymmetric KMS key (ECC_NIST_P256) instead of a key file.")
]
Bandwidth = Annotated[
    int | None,
    typer.Option(
        "--bandwidth",
        min=100_000,  # slower, and S3 takes a connection for dead while its parts wait for one another
        metavar="BYTES",
        help="Bytes a second for model files, so that others can use the link, too [default: no limit].",
    ),
]
State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="What this machine remembers: hashes, channels [default: ~/.local/state/ferry/models].",
    ),
]


def open_repository(
    bucket: str,
    endpoint: str | None,
    keys: list[Path] | None,
    signer: Signer | None = None,
    bandwidth: int | None = None,
) -> Repository:
    """The repository, seen with the keys that are trusted: those named and the signer's, or the project's own."""
    from ferry.models.direct import DirectTransport
    from ferry.models.patience import Pace
    from ferry.models.repository import Repository

    pace = None if bandwidth is None else Pace(bandwidth)
    return Repository(DirectTransport.connect(bucket, endpoint_url=endpoint, pace=pace), trusted_keys(keys, signer))


def trusted_keys(keys: list[Path] | None, signer: Signer | None = None) -> TrustedKeys:
    """The keys that are believed: those named and the signer's, or the project's own. Raises InvalidField for none."""
    from ferry.models.signature import FileSigner, TrustedKeys, load_public_key

    trusted = [load_public_key(path) for path in keys or []]
    if signer is not None:
        trusted.append(signer.public_key)
    elif not trusted and (own := _own_key()) is not None:
        trusted.append(FileSigner.load(own).public_key)
    return TrustedKeys(trusted)


def load_signer(signing_key: Path | None, kms_key: str | None) -> Signer:
    """The key that signs. Raises InvalidField where none is named or found, or two are."""
    from ferry.models.signature import FileSigner, KmsSigner

    if kms_key is not None and signing_key is not None:
        raise InvalidField("--kms-key and --signing-key are two keys; a version is signed with one, name only that")
    if kms_key is not None:
        import boto3

        return KmsSigner.load(boto3.client("kms"), kms_key)
    path = signing_key or _own_key()
    if path is None:
        raise InvalidField(
            "no signing key: name one with --signing-key FILE or --kms-key ID, or let `ferry render` make one"
        )
    return FileSigner.load(path)


def _own_key() -> Path | None:
    """The key that `ferry render` made in this project."""
    from ferry.project import find_project

    project = find_project(Path.cwd())
    path = None if project is None else project / ".ferry" / "signing-key.pem"
    return path if path is not None and path.exists() else None


def state_folder(given: Path | None) -> Path:
    """Where this machine remembers."""
    return given or Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "ferry" / "models"


def open_memory(state: Path | None, least: int = 0) -> Memory:
    """What this machine has seen of channels."""
    from ferry.models.memory import Memory

    return Memory(state_folder(state) / "channels", least)


def record(state: Path | None, verb: str, result: str) -> None:
    """Append what was done to this machine's ledger."""
    from ferry import ledger

    folder = state_folder(state)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}; name another place with --state DIR") from error
    ledger.append(folder, verb, inputs=[], outputs=[], forced=False, result=result)


def this_person() -> str:
    """Who pushes or promotes, as this machine says: USER@HOST."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError) as error:
        raise FerryError("this process has no user name; set USER") from error
