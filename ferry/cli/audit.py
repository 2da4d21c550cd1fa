"""`ferry audit ship`, `verify` and `status`: the request log as evidence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ferry.cli.model_options import Endpoint, Keys, KmsKey, SigningKey, load_signer, trusted_keys
from ferry.cli.options import Json
from ferry.cli.output import NO, bar, note, show
from ferry.errors import InvalidField

if TYPE_CHECKING:
    from ferry.traffic.audit.shipper import Gateway

audit = typer.Typer(help="The gateway's request log, chained, signed and archived.", no_args_is_help=True)

GatewayFolder = Annotated[
    Path, typer.Argument(metavar="GATEWAY_FOLDER", help="As `ferry render` wrote it: build/ENV/local/gateway.")
]
Ledger = Annotated[
    Path | None, typer.Option("--ledger", metavar="DIR", help="Folder of a ledger whose end the chain records.")
]


@audit.command()
def ship(
    bucket: Annotated[
        str, typer.Option("--bucket", envvar="FERRY_AUDIT_BUCKET", help="`pulumi stack output audit_bucket`.")
    ],
    folder: GatewayFolder = Path(),
    instance: Annotated[str, typer.Option(metavar="NAME", help="The gateway's name in the archive.")] = "home",
    signing_key: SigningKey = None,
    kms_key: KmsKey = None,
    ledger: Ledger = None,
    once: Annotated[bool, typer.Option("--once", help="Ship what the log has, and end.")] = False,
    endpoint: Endpoint = None,
    as_json: Json = False,
) -> None:
    """Chain the access log and ship it, until it is told to stop (SIGTERM, Ctrl-C); then all that is left.

    One for each gateway. It may be killed at any moment: the next start goes on from what the archive has.
    """
    import signal
    import threading

    from ferry.models.s3 import S3Transport
    from ferry.models.signature import TrustedKeys, key_id
    from ferry.traffic.audit.shipper import EXPOSURE_S, Identity, Shipper, run
    from ferry.traffic.audit.status import status as look
    from ferry.traffic.audit.text import describe_status

    signer, gateway = load_signer(signing_key, kms_key), _gateway(folder, instance, ledger)
    identity = Identity(signer, key_id(signer.public_key), TrustedKeys([signer.public_key]))
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda number, frame: stop.set())
    with Shipper(gateway, S3Transport.connect(bucket, endpoint_url=endpoint), identity) as shipper:
        note(
            f"shipping {gateway.log} to s3://{bucket}/requests/{instance}/, from sequence {shipper.sequence}; what was "
            f"logged in the last {EXPOSURE_S} s is proven by no head yet",
            as_json,
        )
        run(shipper, stop.wait, lambda text: note(text, as_json), once=once)
    found = look(gateway)
    show(found.dump(), describe_status(found), as_json)


@audit.command()
def verify(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="A folder with objects, or s3://BUCKET[/requests/…].")],
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="RFC 3339, or a date [default: the beginning].")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="A head has to be at or after it, or the end was cut off."),
    ] = None,
    account: Annotated[
        bool, typer.Option("--account", help="Also lock and retention of each object, and the trail's digests.")
    ] = False,
    trail_arn: Annotated[
        str | None, typer.Option(metavar="ARN", help="With --account: `pulumi stack output trail_arn`.")
    ] = None,
    ledger: Ledger = None,
    key: Keys = None,
    endpoint: Endpoint = None,
    as_json: Json = False,
) -> None:
    """Verify the chain: name the first line that was altered, removed or moved, and what is proven. Exit code 3: no."""
    from ferry.models.s3 import S3Transport
    from ferry.traffic.audit import verification as verifying
    from ferry.traffic.audit.place import Bucket, Folder
    from ferry.traffic.audit.text import describe

    begin, end = _moment(since, "--from"), _moment(until, "--to")
    if begin is not None and end is not None and begin > end:
        raise InvalidField(f"--from {since} is after --to {until}; exchange them")
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    remote = place.startswith("s3://")
    if account and not remote:
        raise InvalidField(f"--account looks at the archive itself, and {place} is a folder; name s3://BUCKET")
    objects: Bucket | Folder = Folder(Path(place))
    if remote:
        objects = Bucket(S3Transport.connect(bucket, endpoint_url=endpoint), prefix or "requests/")
    with bar("verifying", of="objects", quiet=as_json) as told:
        chains = verifying.verify(objects, trusted_keys(key), since=begin, until=end, told=told)
    faults: list[str] = []
    notes: list[str] = []
    if ledger is not None:
        faults += verifying.ledger_faults(chains, ledger)
        notes.append(f"ledger: {sum(len(chain.ledger) for chain in chains)} recorded ends compared with {ledger}")
    if account:
        names = [name for chain in chains for name in chain.looked_at]
        of_lock, about_lock = _ask_for_locks(bucket, prefix or "requests/", names, endpoint, as_json)
        of_trail, about_trail = _ask_for_digests(bucket, trail_arn, begin, end, endpoint)
        faults += [*of_lock, *of_trail]
        notes += [about_lock, about_trail]
    done = verifying.Verification(chains=chains, faults=faults, notes=notes)
    show(done.dump(), describe(done), as_json)
    if not done.holds:
        raise typer.Exit(NO)


@audit.command()
def status(folder: GatewayFolder = Path(), as_json: Json = False) -> None:
    """Say how far the chainer is, and what of the log is in no object yet."""
    from ferry.traffic.audit.status import status as look
    from ferry.traffic.audit.text import describe_status

    found = look(_gateway(folder, "home", None))
    show(found.dump(), describe_status(found), as_json)


def _gateway(folder: Path, instance: str, ledger: Path | None) -> Gateway:
    from ferry.traffic.audit.shipper import Gateway
    from ferry.traffic.gateway.folder import GatewayFolder as Layout

    layout = Layout(folder)
    if not layout.envoy_file.is_file():
        raise InvalidField(
            f"{folder}: has no {layout.envoy_file.name}; name the gateway's folder that `ferry render` wrote"
        )
    return Gateway(instance=instance, log=layout.access_log, state=layout.state, ledger=ledger)


def _ask_for_locks(
    bucket: str, prefix: str, names: Sequence[str], endpoint: str | None, as_json: bool
) -> tuple[list[str], str]:
    """Faults, and what was looked at."""
    import boto3

    from ferry.traffic.audit.account import RETENTION_DAYS, lock_faults, version_faults

    client = boto3.client("s3", endpoint_url=endpoint)
    with bar("asking for locks", of="objects", quiet=as_json) as told:
        faults = list(lock_faults(client, bucket, names, told=told))
    faults += version_faults(client, bucket, prefix)
    return faults, f"account: {len(names)} objects, each COMPLIANCE for {RETENTION_DAYS} days; versions below {prefix}"


def _ask_for_digests(
    bucket: str, trail_arn: str | None, since: datetime | None, until: datetime | None, endpoint: str | None
) -> tuple[Sequence[str], str]:
    """Faults, and what was looked at."""
    import boto3

    from ferry.traffic.audit import cloudtrail

    if trail_arn is None:
        return [], "trail: not looked at; name it with --trail-arn"
    if since is None:
        raise InvalidField("--trail-arn without --from: its digests are looked at from then on; name a time")
    clients = boto3.client("s3", endpoint_url=endpoint), boto3.client("cloudtrail")
    until = until or datetime.now(UTC)
    trail = cloudtrail.validate(*clients, bucket=bucket, trail_arn=trail_arn, since=since, until=until)
    return trail.faults, f"trail: {trail.digests} digests, {trail.log_files} log files; {cloudtrail.TESTED}"


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidField(f"{option} {text!r} is no time; write 2026-11-01 or 2026-11-01T08:00:00+08:00") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
