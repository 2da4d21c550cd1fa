"""`ferry models`: the model repository in S3."""

from __future__ import annotations

import getpass
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ferry.cli.options import Json
from ferry.cli.output import NO, note, show
from ferry.cli.progress import Transfer
from ferry.errors import FerryError, InputError, InvalidField, Untrusted

if TYPE_CHECKING:
    from ferry.models.memory import Memory
    from ferry.models.push import Pushed
    from ferry.models.repository import Repository
    from ferry.models.signature import Signer
    from ferry.models.tree import Tree

models = typer.Typer(
    help="Push, verify, promote and pull models: nothing is served that was not signed.", no_args_is_help=True
)

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
State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="What this machine remembers: hashes, channels [default: ~/.local/state/ferry/models].",
    ),
]
Target = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="A version.")]
Reference = Annotated[
    str, typer.Argument(metavar="NAME@VERSION|NAME:CHANNEL", help="A version, or what a channel means.")
]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="The model, as ferry:model_versions names it.")]
NewVersion = Annotated[str, typer.Option("--version", metavar="VERSION", help="The new version. It never changes.")]


@models.command()
def push(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that the engine loads the model from.")],
    name: Name,
    version: NewVersion,
    bucket: Bucket,
    signing_key: SigningKey = None,
    kms_key: KmsKey = None,
    key: Keys = None,
    endpoint: Endpoint = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Push a folder as a version: resumable, deduplicated, verified, signed. It exists whole or not at all."""
    from ferry.models.tree import scan

    signer = _signer(signing_key, kms_key)
    repository = _repository(bucket, endpoint, [*(key or [])], signer)
    done = _push(repository, signer, scan(folder), name, version, _facts(folder, as_json), state, as_json)
    note(f"next: ferry models promote {done.name}@{done.version} --channel CHANNEL", as_json)


@models.command("import-lfs")
def import_lfs(
    clone: Annotated[
        Path, typer.Argument(metavar="REPO", help="A git-lfs repository, with or without a working tree.")
    ],
    name: Name,
    version: NewVersion,
    bucket: Bucket,
    revision: Annotated[str, typer.Option("--revision", metavar="COMMIT")] = "HEAD",
    signing_key: SigningKey = None,
    kms_key: KmsKey = None,
    key: Keys = None,
    endpoint: Endpoint = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Push a commit of a git-lfs repository as a version, from what lies on this disk."""
    from ferry.models.lfs import read_repository

    signer = _signer(signing_key, kms_key)
    repository = _repository(bucket, endpoint, [*(key or [])], signer)
    with tempfile.TemporaryDirectory(prefix="ferry-lfs-") as scratch:
        tree = read_repository(clone, revision, Path(scratch))
        note("no model facts: a commit is not a folder that `ferry assess` reads", as_json)
        _push(repository, signer, tree, name, version, None, state, as_json)


@models.command("list")
def list_versions(
    bucket: Bucket,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One model [default: all].")] = None,
    key: Keys = None,
    endpoint: Endpoint = None,
    as_json: Json = False,
) -> None:
    """List versions with size, channels, who pushed, and whether the signature is one to believe."""
    from ferry.models import channels
    from ferry.models.text import describe_versions

    repository = _repository(bucket, endpoint, [*(key or [])])
    found = [one for model in ([name] if name else repository.models()) for one in repository.versions(model)]
    held = [
        (model, channel, channels.read(repository, model, channel))
        for model in sorted({one.name for one in found})
        for channel in channels.channel_names(repository, model)
    ]
    meant = [one.channel for _, _, one in held if one is not None]
    document = {
        "versions": [
            {
                "name": one.name,
                "version": one.version,
                "problem": one.problem,
                **(
                    {}
                    if one.manifest is None
                    else {
                        "size_bytes": one.manifest.manifest.size,
                        "files": len(one.manifest.manifest.files),
                        "created_at": one.manifest.manifest.created_at.isoformat(),
                        "pushed_by": one.manifest.manifest.pushed_by,
                        "signed_with": one.manifest.key_id,
                        "manifest_sha256": one.manifest.sha256,
                    }
                ),
            }
            for one in found
        ],
        "channels": [channel.model_dump(mode="json", by_alias=True) for channel in meant],
    }
    show(document, describe_versions(found, meant), as_json)


@models.command()
def verify(
    reference: Reference,
    bucket: Bucket,
    deep: Annotated[
        bool, typer.Option("--deep", help="Fetch and hash every byte, instead of asking for checksums.")
    ] = False,
    key: Keys = None,
    endpoint: Endpoint = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Compare what is stored with the signed manifest. Exit code 3: it is not what was signed."""
    from ferry.models.channels import resolve
    from ferry.models.names import parse_reference
    from ferry.models.text import describe_verification
    from ferry.models.verification import verify as verify_version

    repository = _repository(bucket, endpoint, [*(key or [])])
    try:
        signed = resolve(repository, parse_reference(reference), _memory(state))
    except Untrusted as error:
        show({"reference": reference, "whole": False, "problem": str(error)}, f"not to be believed: {error}", as_json)
        raise typer.Exit(NO) from error
    with Transfer(quiet=as_json) as progress:
        found = verify_version(repository, signed, deep=deep, progress=progress)
    show(found.dump(), describe_verification(found), as_json)
    if not found.whole:
        raise typer.Exit(NO)


@models.command()
def promote(
    target: Annotated[str, typer.Argument(metavar="NAME@VERSION|NAME", help="A version; NAME alone with --previous.")],
    channel: Annotated[str, typer.Option("--channel", metavar="CHANNEL", help="Such as stable or canary.")],
    bucket: Bucket,
    previous: Annotated[bool, typer.Option("--previous", help="Roll back: what the channel meant before.")] = False,
    signing_key: SigningKey = None,
    kms_key: KmsKey = None,
    key: Keys = None,
    endpoint: Endpoint = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Let a channel mean a version. Of two promotions at once one wins, and the other is told."""
    from ferry.artefacts import now
    from ferry.models import names, promotion
    from ferry.models.text import describe_channel

    signer = _signer(signing_key, kms_key)
    repository = _repository(bucket, endpoint, [*(key or [])], signer)
    memory = _memory(state)
    if previous:
        name = names.check_model(target)
        version = promotion.previous_version(repository, name, names.check_name(channel, "channel"), memory)
    else:
        wanted = names.parse_reference(target)
        if wanted.version is None:
            raise InvalidField(f"{target}: is a channel; name the version to promote: NAME@VERSION")
        name, version = wanted.name, wanted.version
    promoted = promotion.promote(repository, signer, name, version, channel, memory, by=_who(), at=now())
    _record(state, "models promote", f"{name}:{channel} means {version}, sequence {promoted.current.sequence}")
    show(promoted.model_dump(mode="json", by_alias=True), describe_channel(promoted), as_json)


@models.command()
def pull(
    reference: Reference,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where the model will be; made whole or not at all.")
    ],
    bucket: Bucket,
    include: Annotated[
        list[str] | None, typer.Option("--include", metavar="PATTERN", help="Only files that match; may be repeated.")
    ] = None,
    min_sequence: Annotated[
        int, typer.Option(min=0, metavar="N", help="Refuse a channel older than this, also where none was seen before.")
    ] = 0,
    key: Keys = None,
    endpoint: Endpoint = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Pull a version and verify every byte. Refuses what is unsigned, missing, added, altered or replayed."""
    from ferry.models.channels import resolve
    from ferry.models.names import parse_reference
    from ferry.models.pull import pull as pull_version
    from ferry.models.text import describe_pull

    repository = _repository(bucket, endpoint, [*(key or [])])
    signed = resolve(repository, parse_reference(reference), _memory(state, min_sequence))
    with Transfer(quiet=as_json) as progress:
        done = pull_version(repository, signed, folder, include=include or (), progress=progress)
    show(done.dump(), describe_pull(done), as_json)


@models.command()
def diff(
    old: Annotated[str, typer.Argument(metavar="A")],
    new: Annotated[str, typer.Argument(metavar="B")],
    bucket: Bucket,
    key: Keys = None,
    endpoint: Endpoint = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say what differs between two versions, or between what two channels mean."""
    from ferry.models.channels import resolve
    from ferry.models.difference import difference
    from ferry.models.names import parse_reference
    from ferry.models.text import describe_difference

    repository, memory = _repository(bucket, endpoint, [*(key or [])]), _memory(state)
    both = [resolve(repository, parse_reference(one), memory).manifest for one in (old, new)]
    found = difference(*both)
    show(found.dump(), describe_difference(found), as_json)


@models.command()
def prune(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model.")],
    keep: Annotated[int, typer.Option("--keep", metavar="N", help="How many of the newest versions stay.")],
    bucket: Bucket,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be marked.")] = False,
    key: Keys = None,
    endpoint: Endpoint = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Put delete markers on old versions, never on what a channel means or would roll back to."""
    from ferry.models.pruning import prune as prune_versions
    from ferry.models.text import describe_pruned

    done = prune_versions(_repository(bucket, endpoint, [*(key or [])]), name, keep, dry_run=dry_run)
    if done.marked:
        _record(state, "models prune", f"{name}: {done.marked_objects} delete markers")
    show(done.dump(), describe_pruned(done), as_json)


# ---- what the verbs share ----


def _push(
    repository: Repository,
    signer: Signer,
    tree: Tree,
    name: str,
    version: str,
    facts: dict[str, Any] | None,
    state: Path | None,
    as_json: bool,
) -> Pushed:
    from ferry.artefacts import now
    from ferry.models.journal import Journal
    from ferry.models.push import Request
    from ferry.models.push import push as push_version
    from ferry.models.text import describe_push

    request = Request(name=name, version=version, tree=tree, signer=signer, pushed_by=_who(), at=now(), facts=facts)
    with Transfer(quiet=as_json) as progress:
        done = push_version(repository, request, Journal(_state(state) / "hashes.jsonl"), progress)
    _record(state, "models push", f"{name}@{version} manifest {done.manifest_sha256}")
    show(done.dump(), describe_push(done), as_json)
    return done


def _facts(folder: Path, as_json: bool) -> dict[str, Any] | None:
    """What `ferry assess` reads of the folder. A model that it cannot read, such as a vision model, is still pushed."""
    from ferry.assess.model import read_model

    try:
        return read_model(folder, folder.name).facts.model_dump(mode="json")
    except InputError as error:
        note(f"no model facts: {error}", as_json)
        return None


def _repository(bucket: str, endpoint: str | None, keys: list[Path], signer: Signer | None = None) -> Repository:
    from ferry.models.repository import Repository
    from ferry.models.s3 import S3Transport
    from ferry.models.signature import FileSigner, TrustedKeys, load_public_key

    trusted = [load_public_key(path) for path in keys]
    if signer is not None:
        trusted.append(signer.public_key)
    elif not trusted and (own := _own_key()) is not None:
        trusted.append(FileSigner.load(own).public_key)
    return Repository(S3Transport.connect(bucket, endpoint_url=endpoint), TrustedKeys(trusted))


def _signer(signing_key: Path | None, kms_key: str | None) -> Signer:
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


def _state(given: Path | None) -> Path:
    return given or Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "ferry" / "models"


def _memory(state: Path | None, least: int = 0) -> Memory:
    from ferry.models.memory import Memory

    return Memory(_state(state) / "channels", least)


def _record(state: Path | None, verb: str, result: str) -> None:
    from ferry import ledger

    folder = _state(state)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}; name another place with --state DIR") from error
    ledger.append(folder, verb, inputs=[], outputs=[], forced=False, result=result)


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError) as error:
        raise FerryError("this process has no user name; set USER") from error
