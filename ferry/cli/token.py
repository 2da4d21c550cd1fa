"""`ferry token`: the gateway's tokens. A token is on standard output or standard input, and nowhere else."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ferry.cli.options import Json
from ferry.cli.output import note, show
from ferry.errors import InvalidField

if TYPE_CHECKING:
    from ferry.traffic.tokens import TokenFolder

token = typer.Typer(
    help="Issue and revoke the gateway's tokens, and rotate the keys that sign them.", no_args_is_help=True
)

Gateway = Annotated[
    Path,
    typer.Option("--gateway", metavar="DIR", envvar="FERRY_GATEWAY", help="The folder that `ferry render` wrote."),
]


@token.command()
def issue(
    gateway: Gateway,
    tenant: Annotated[str, typer.Option(metavar="NAME", help="Whose limits count.")],
    subject: Annotated[str, typer.Option(metavar="NAME", help="Who uses it: a person or a program.")],
    scope: Annotated[
        list[str] | None, typer.Option(metavar="SCOPE", help="May be repeated [default: inference].")
    ] = None,
    audience: Annotated[str | None, typer.Option(metavar="TEXT", help="[default: as tokens.yaml says]")] = None,
    lifetime: Annotated[int | None, typer.Option(metavar="SECONDS", help="[default: as tokens.yaml says, 900]")] = None,
    as_json: Json = False,
) -> None:
    """Print a new token. It is a password for as long as it lives: pipe it to whoever uses it."""
    from ferry.traffic.tokens.issue import issue as issue_token

    folder = _folder(gateway)
    issued = issue_token(
        folder,
        tenant=tenant,
        subject=subject,
        now=datetime.now(UTC),
        audience=audience,
        lifetime_seconds=lifetime,
        **({"scopes": scope} if scope else {}),
    )
    claims = issued.claims
    _record(folder, "issue", f"{claims['jti']} for {claims['sub']} of {claims['tenant']}, until {_time(claims['exp'])}")
    if as_json:
        show({"token": issued.token, "claims": claims}, "", as_json)
    else:
        sys.stdout.write(issued.token + "\n")
        note(f"{claims['jti']} for {claims['sub']} of {claims['tenant']}, until {_time(claims['exp'])}", as_json)


@token.command()
def revoke(
    gateway: Gateway,
    identifier: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="A token's id (jti); - reads the token itself from standard input."),
    ] = None,
    subject: Annotated[str | None, typer.Option(metavar="NAME", help="All that this subject has so far.")] = None,
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="All that this tenant has so far.")] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%z"],
            help="When the last of them has expired [default: when the longest-lived has].",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Refuse a token from now on, or all that somebody has. Answers that stream already go on to their end."""
    from ferry.traffic.tokens import issue as tokens
    from ferry.traffic.tokens.revocations import Claim

    folder = _folder(gateway)
    given: dict[Claim, str | None] = {"jti": identifier, "sub": subject, "tenant": tenant}
    named = [(claim, value) for claim, value in given.items() if value is not None]
    if len(named) != 1:
        raise InvalidField(f"{len(named)} things to revoke were named; name one: ID, --subject or --tenant")
    claim, value = named[0]
    ends = None if until is None else until.replace(tzinfo=until.tzinfo or UTC)
    if claim == "jti" and value == "-":
        value, ends = tokens.token_id(folder, sys.stdin.read().strip())
    done = tokens.revoke(folder, claim, value, now=datetime.now(UTC), until=ends)
    _record(folder, "revoke", f"{done.claim} {done.value}")
    in_force = folder.in_force()
    show(
        {**done.model_dump(mode="json"), "in_force": in_force},
        f"{done.claim} {done.value} is refused{_when(in_force)}; forgotten {done.until:%Y-%m-%d %H:%M:%S} UTC, when it "
        "has expired",
        as_json,
    )


@token.command("rotate-keys")
def rotate_keys(
    gateway: Gateway,
    kms_key: Annotated[
        str | None, typer.Option(metavar="ID", help="The new key is this one in KMS [default: a new file].")
    ] = None,
    compromised: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The id of a key in wrong hands: end it, and all its tokens, now."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Do the next step of a rotation, if it is due: add a key, sign with it, drop the old one."""
    from ferry.traffic.tokens.rotation import rotate

    folder = _folder(gateway)
    done = rotate(folder, now=lambda: datetime.now(UTC), kms_key=kms_key, compromised=compromised)
    for sentence in done.did:
        _record(folder, "rotate-keys", sentence)
    keys = [key.model_dump(mode="json", exclude={"public"}) for key in done.ring.keys]
    when = None if done.next_at is None else done.next_at.isoformat()
    what = tuple(f"{sentence}{_when(done.in_force)}" for sentence in done.did) or ("nothing is due",)
    follows = "the next call begins a new rotation" if when is None else f"call again after {when}"
    document = {"keys": keys, "did": list(done.did), "next_at": when, "in_force": done.in_force}
    show(document, "\n".join((*what, follows)), as_json)


@token.command()
def jwks(
    gateway: Gateway,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Replace this file in one step [default: print it].")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the public keys, for whoever else checks tokens. They are JSON with and without --json."""
    import json

    from ferry.artefacts import write_whole
    from ferry.traffic.tokens.keys import KeyRing

    document = KeyRing.read(_folder(gateway).keys_file).jwks()
    if output is None:
        show(document, "", as_json=True)
        return
    write_whole(output, json.dumps(document, indent=2) + "\n")
    show({"path": str(output), "keys": len(document["keys"])}, f"{output}: {len(document['keys'])} keys", as_json)


@token.command()
def publish(gateway: Gateway, as_json: Json = False) -> None:
    """Let the gateway have tokens.yaml as it is now: it is read when a key or a revocation changes, too."""
    folder = _folder(gateway)
    folder.settings()
    with folder.locked():
        changed = list(folder.publish(datetime.now(UTC)))
    if changed:
        _record(folder, "publish", ", ".join(changed))
    in_force = folder.in_force()
    text = f"changed: {', '.join(changed)}{_when(in_force)}" if changed else "nothing has changed"
    show({"changed": changed, "in_force": in_force}, text, as_json)


def _folder(gateway: Path) -> TokenFolder:
    from ferry.traffic.tokens import TokenFolder

    return TokenFolder.at(gateway)


def _record(folder: TokenFolder, verb: str, result: str) -> None:
    from ferry import ledger

    ledger.append(folder.path, f"token {verb}", inputs=[], outputs=[], forced=False, result=result)


def _when(in_force: bool) -> str:
    return "" if in_force else " as soon as Envoy runs, which does not answer now"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
