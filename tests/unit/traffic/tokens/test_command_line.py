"""What `ferry token` prints and leaves behind."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ferry import ledger
from ferry.cli import app
from ferry.errors import InvalidField, TokenError
from ferry.traffic.gateway import Routes, Stage
from ferry.traffic.tokens import TokenFolder
from tests.unit.traffic.tokens.conftest import with_settings


def run(folder: TokenFolder, *arguments: str, stdin: str = "") -> Result:
    command = ["token", *arguments, "--gateway", str(folder.gateway.path)]
    done = CliRunner().invoke(app, command, input=stdin)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def as_json(folder: TokenFolder, *arguments: str, stdin: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(folder, *arguments, "--json", stdin=stdin).stdout)
    return found


def test_the_token_is_all_of_standard_output(folder: TokenFolder) -> None:
    run(folder, "rotate-keys")
    done = run(folder, "issue", "--tenant", "acme", "--subject", "bob")
    (token,) = done.stdout.splitlines()
    assert token.count(".") == 2
    assert token not in done.stderr
    assert "for bob of acme, until" in done.stderr


def test_what_is_asked_for_is_in_the_token(folder: TokenFolder) -> None:
    run(folder, "rotate-keys")
    options = ("--scope", "inference", "--scope", "batch", "--audience", "tests", "--lifetime", "60")
    claims = as_json(folder, "issue", "--tenant", "acme", "--subject", "bob", *options)["claims"]
    assert (claims["scope"], claims["aud"], claims["exp"] - claims["iat"]) == ("inference batch", "tests", 60)


def test_the_ledger_says_what_was_done_and_holds_no_token(folder: TokenFolder) -> None:
    run(folder, "rotate-keys")
    issued = as_json(folder, "issue", "--tenant", "acme", "--subject", "bob")
    run(folder, "revoke", "-", stdin=issued["token"] + "\n")
    lines = ledger.read(folder.path)
    assert [line["verb"] for line in lines] == ["token rotate-keys", "token issue", "token revoke"]
    assert issued["claims"]["jti"] in lines[1]["result"]
    assert lines[2]["result"] == f"jti {issued['claims']['jti']}"
    parts = issued["token"].split(".")
    assert not any(part in (folder.path / ledger.NAME).read_text() for part in parts)


def test_a_token_on_standard_input_is_forgotten_once_it_has_expired(folder: TokenFolder) -> None:
    run(folder, "rotate-keys")
    issued = as_json(folder, "issue", "--tenant", "acme", "--subject", "bob")
    done = as_json(folder, "revoke", "-", stdin=issued["token"])
    assert datetime.fromisoformat(done["until"]).timestamp() == issued["claims"]["exp"] + 10


@pytest.mark.parametrize("given", [(), ("one", "--subject", "bob"), ("--subject", "bob", "--tenant", "acme")])
def test_one_thing_is_revoked_at_a_time(folder: TokenFolder, given: tuple[str, ...]) -> None:
    with pytest.raises(InvalidField, match="name one: ID, --subject or --tenant"):
        run(folder, "revoke", *given)


def test_the_key_set_is_written_whole_and_holds_no_private_part(folder: TokenFolder, tmp_path: Path) -> None:
    run(folder, "rotate-keys"), run(folder, "rotate-keys")
    printed = json.loads(run(folder, "jwks").stdout)
    assert [sorted(key) for key in printed["keys"]] == [["alg", "crv", "kid", "kty", "use", "x", "y"]] * 2
    path = tmp_path / "public" / "jwks.json"
    assert as_json(folder, "jwks", "--output", str(path)) == {"path": str(path), "keys": 2}
    assert json.loads(path.read_text()) == printed
    assert list(path.parent.iterdir()) == [path]


def test_a_rotation_says_when_to_call_again(folder: TokenFolder) -> None:
    assert as_json(folder, "rotate-keys")["next_at"] is None
    begun = as_json(folder, "rotate-keys")
    assert [key["state"] for key in begun["keys"]] == ["current", "next"]
    assert as_json(folder, "rotate-keys") == begun | {"did": []}
    assert "nothing is due\ncall again after" in run(folder, "rotate-keys").stdout


def test_new_limits_reach_the_gateway_when_they_are_published(folder: TokenFolder, tmp_path: Path) -> None:
    run(folder, "rotate-keys")
    assert as_json(folder, "publish") == {"changed": [], "in_force": False}
    with_settings(tmp_path, limit={"requests_per_minute": 60, "burst": 5})
    assert as_json(folder, "publish") == {"changed": ["rate_limit"], "in_force": False}


def test_a_stage_takes_the_same_tokens(folder: TokenFolder) -> None:
    run(folder, "rotate-keys")
    stages = (Stage(prefix="/decode", cluster="decoder"),)
    folder.gateway.routes_file.parent.mkdir()
    folder.gateway.routes_file.write_text(Routes(weights={"local": 100, "cloud": 0}, stages=stages).dump())
    text = folder.filters()["revocation"]
    assert '"exact": "/decode"' in text
    assert '"prefix": "/decode/"' in text


def test_without_settings_nothing_is_issued_or_changed(tmp_path: Path) -> None:
    (tmp_path / "envoy.yaml").write_text("")
    folder = TokenFolder.at(tmp_path)
    for arguments in (("rotate-keys",), ("publish",), ("issue", "--tenant", "acme", "--subject", "bob")):
        with pytest.raises(TokenError, match=r"tokens.yaml: is missing; write issuer and audience into it"):
            run(folder, *arguments)
    assert not (tmp_path / "filters").exists()


def test_a_folder_that_is_no_gateway_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidField, match=r"neither envoy.yaml nor tokens.yaml is in it"):
        TokenFolder.at(tmp_path)
