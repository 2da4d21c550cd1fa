"""`ferry models`: the model repository in S3."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ferry.cli.model_options import (
    Bandwidth,
    Bucket,
    Endpoint,
    Keys,
    KmsKey,
    SigningKey,
    State,
    load_signer,
    open_memory,
    open_repository,
    record,
    state_folder,
    this_person,
)
from ferry.cli.options import Json
from ferry.cli.output import NO, note, show
from ferry.cli.progress import Transfer
from ferry.errors import InputError, InvalidField, Untrusted

if TYPE_CHECKING:
    from ferry.models.push import Pushed
    from ferry.models.repository import Repository
    from ferry.models.signature import Signer
    from ferry.models.tree import Tree

models = typer.Typer(
    help="Push, verify, promote and pull models: nothing is served that was not signed.", no_args_is_help=True
)

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
    bandwidth: Bandwidth = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Push a folder as a version: resumable, deduplicated, verified, signed. It exists whole or not at all."""
    from ferry.models.tree import scan

    signer = load_signer(signing_key, kms_key)
    repository = open_repository(bucket, endpoint, key, signer, bandwidth)
    facts = partial(_facts, folder, folder.name, as_json)
    done = _push(repository, signer, scan(folder), name, version, facts, state, as_json)
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
    bandwidth: Bandwidth = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Push a commit of a git-lfs repository as a version, from what lies on this disk."""
    from ferry.models.lfs import lay_out, read_repository

    signer = load_signer(signing_key, kms_key)
    repository = open_repository(bucket, endpoint, key, signer, bandwidth)
    with tempfile.TemporaryDirectory(prefix="ferry-lfs-") as scratch:
        tree = read_repository(clone, revision, Path(scratch))

        def facts() -> dict[str, Any] | None:
            return _facts(lay_out(tree, Path(scratch) / "model"), clone.resolve().name, as_json)

        _push(repository, signer, tree, name, version, facts, state, as_json)


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

    repository = open_repository(bucket, endpoint, key)
    names = [name] if name else repository.models()
    versions = [one for model in names for one in repository.versions(model)]
    held = [one for model in names for one in channels.overview(repository, model)]
    document = {"versions": [one.dump() for one in versions], "channels": [one.dump() for one in held]}
    show(document, describe_versions(versions, held), as_json)


@models.command()
def verify(
    reference: Reference,
    bucket: Bucket,
    deep: Annotated[
        bool, typer.Option("--deep", help="Fetch and hash every byte, instead of asking for checksums.")
    ] = False,
    key: Keys = None,
    endpoint: Endpoint = None,
    bandwidth: Bandwidth = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Compare what is stored with the signed manifest. Exit code 3: it is not what was signed."""
    from ferry.models.channels import resolve
    from ferry.models.names import parse_reference
    from ferry.models.text import describe_verification
    from ferry.models.verification import verify as verify_version

    repository = open_repository(bucket, endpoint, key, bandwidth=bandwidth)
    try:
        signed = resolve(repository, parse_reference(reference), open_memory(state))
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
    from ferry.artefacts.artefact import now
    from ferry.models import names, promotion
    from ferry.models.text import describe_channel

    signer = load_signer(signing_key, kms_key)
    repository = open_repository(bucket, endpoint, key, signer)
    memory = open_memory(state)
    if previous:
        name = names.check_model(target)
        version = promotion.previous_version(repository, name, names.check_name(channel, "channel"), memory)
    else:
        wanted = names.parse_reference(target)
        if wanted.version is None:
            raise InvalidField(f"{target}: is a channel; name the version to promote: NAME@VERSION")
        name, version = wanted.name, wanted.version
    promoted = promotion.promote(repository, signer, name, version, channel, memory, by=this_person(), at=now())
    record(state, "models promote", f"{name}:{channel} means {version}, sequence {promoted.current.sequence}")
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
    bandwidth: Bandwidth = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Pull a version and verify every byte. Refuses what is unsigned, missing, added, altered or replayed."""
    from ferry.models.channels import resolve
    from ferry.models.names import parse_reference
    from ferry.models.pull import pull as pull_version
    from ferry.models.text import describe_pull

    repository = open_repository(bucket, endpoint, key, bandwidth=bandwidth)
    signed = resolve(repository, parse_reference(reference), open_memory(state, min_sequence))
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

    repository, memory = open_repository(bucket, endpoint, key), open_memory(state)
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

    done = prune_versions(open_repository(bucket, endpoint, key), name, keep, dry_run=dry_run)
    if done.marked:
        record(state, "models prune", f"{name}: {done.marked_objects} delete markers")
    show(done.dump(), describe_pruned(done), as_json)


# ---- what the verbs share ----


def _push(
    repository: Repository,
    signer: Signer,
    tree: Tree,
    name: str,
    version: str,
    facts: Callable[[], dict[str, Any] | None],
    state: Path | None,
    as_json: bool,
) -> Pushed:
    from ferry.artefacts.artefact import now
    from ferry.models.journal import Journal
    from ferry.models.push import Request
    from ferry.models.push import push as push_version
    from ferry.models.text import describe_push

    request = Request(
        name=name, version=version, tree=tree, signer=signer, pushed_by=this_person(), at=now(), facts=facts
    )
    with Transfer(quiet=as_json) as progress:
        done = push_version(repository, request, Journal(state_folder(state) / "hashes.jsonl"), progress)
    record(state, "models push", f"{name}@{version} manifest {done.manifest_sha256}")
    show(done.dump(), describe_push(done), as_json)
    return done


def _facts(folder: Path, named: str, as_json: bool) -> dict[str, Any] | None:
    """What `ferry assess` reads of the folder. A model that it cannot read, such as a vision model, is still pushed."""
    from ferry.assess.models import read_model

    try:
        return read_model(folder, named).facts.model_dump(mode="json")
    except InputError as error:
        note(f"no model facts: {error}", as_json)
        return None
