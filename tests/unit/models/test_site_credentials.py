from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from typer.testing import CliRunner

from ferry.cli import app
from ferry.errors import FerryError
from ferry.models.site_credentials import site_credentials
from tests.certificates import authority

ID = "01234567-89ab-cdef-0123-456789abcdef"
OUTPUTS = {
    "site_trust_anchor_arn": f"arn:aws-cn:rolesanywhere:cn-north-1:123456789012:trust-anchor/{ID}",
    "site_profile_arn": f"arn:aws-cn:rolesanywhere:cn-north-1:123456789012:profile/{ID}",
    "site_role_arn": "arn:aws-cn:iam::123456789012:role/ferry-site-0a1b2c3",
}
SECRET = "nobody reads this"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "a place"
    folder.mkdir()
    found = {name: folder / name for name in ("machine.pem", "machine.key", "helper")}
    found["machine.pem"].write_text(authority(), encoding="utf-8")
    found["machine.key"].write_text(SECRET, encoding="utf-8")
    found["machine.key"].chmod(0o600)
    found["helper"].write_text("#!/bin/sh\n", encoding="utf-8")
    found["helper"].chmod(0o755)
    return found


def make(files: dict[str, Path], **changes: Any) -> Any:
    given: dict[str, Any] = {
        "certificate": files["machine.pem"],
        "private_key": files["machine.key"],
        "helper": str(files["helper"]),
        "profile": "push",
        "at": datetime.now(UTC) + timedelta(minutes=1),
        **changes,
    }
    return site_credentials(given.pop("outputs", OUTPUTS), **given)


def test_the_profile_is_one_that_the_sdk_reads(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(files)
    config = tmp_path / "config"
    config.write_text(made.config, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    profile = botocore.session.Session(profile="push").get_scoped_config()
    assert profile["region"] == "cn-north-1"
    assert shlex.split(profile["credential_process"]) == [
        str(files["helper"]),
        "credential-process",
        *("--certificate", str(files["machine.pem"]), "--private-key", str(files["machine.key"])),
        *("--trust-anchor-arn", OUTPUTS["site_trust_anchor_arn"], "--profile-arn", OUTPUTS["site_profile_arn"]),
        *("--role-arn", OUTPUTS["site_role_arn"]),
    ]
    assert made.subject == "site CA"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o666])
def test_a_key_that_others_may_use_is_refused(files: dict[str, Path], mode: int) -> None:
    files["machine.key"].chmod(mode)
    with pytest.raises(FerryError, match=f"others may use it .mode {mode:04o}., allowed is 0600; run chmod 600"):
        make(files)


def test_a_key_that_nobody_may_read_is_not_read_here(files: dict[str, Path]) -> None:
    files["machine.key"].chmod(0o200)
    assert SECRET not in json.dumps(make(files).dump())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": {**OUTPUTS, "site_role_arn": ""}}, "output site_role_arn is ''"),
        ({"outputs": {}}, "set ferry:site_identity in the stack"),
        (
            {"outputs": {**OUTPUTS, "site_profile_arn": OUTPUTS["site_profile_arn"].replace("cn-north", "cn-south")}},
            "take one stack's outputs",
        ),
        ({"outputs": {**OUTPUTS, "site_role_arn": OUTPUTS["site_role_arn"] + " --endpoint x"}}, "expected is an ARN"),
        ({"profile": "a]\nb"}, "profile"),
        ({"helper": "no-such-helper"}, "install AWS's aws_signing_helper"),
        ({"certificate": Path("/nowhere.pem")}, "is not a certificate"),
        ({"private_key": Path("/nowhere.key")}, "cannot be found"),
        ({"private_key": Path("/")}, "is not a file"),
        ({"at": datetime(2100, 1, 1, tzinfo=UTC)}, "not now; have the site's CA issue a new one"),
    ],
)
def test_what_would_not_work_is_refused(files: dict[str, Path], change: dict[str, Any], message: str) -> None:
    with pytest.raises(FerryError, match=message):
        make(files, **change)


@pytest.mark.parametrize("name", ['a"b.key', "a$HOME.key", "a`b.key", "a\nb.key", "a\\b.key", "a;b.key", "a%b.key"])
def test_a_path_that_a_shell_could_take_for_more_is_refused(files: dict[str, Path], name: str) -> None:
    odd = files["machine.key"].rename(files["machine.key"].with_name(name))
    with pytest.raises(FerryError, match="allowed in the path are"):
        make(files, private_key=odd)


def test_the_command_writes_a_new_file_and_overwrites_none(files: dict[str, Path], tmp_path: Path) -> None:
    outputs, config = tmp_path / "outputs.json", tmp_path / "config"
    outputs.write_text(json.dumps(OUTPUTS), encoding="utf-8")
    command = [
        *("site", "credentials", str(outputs), "--certificate", str(files["machine.pem"])),
        *("--private-key", str(files["machine.key"]), "--helper", str(files["helper"])),
    ]
    printed = CliRunner().invoke(app, command)
    assert printed.stdout.startswith("[profile ferry-push]\nregion = cn-north-1\ncredential_process = ")
    for _ in range(2):
        assert CliRunner().invoke(app, [*command, "-o", str(config)]).exit_code == 0
    assert config.read_text(encoding="utf-8") == printed.stdout
    config.write_text("[default]\n", encoding="utf-8")
    refused = CliRunner().invoke(app, [*command, "-o", str(config)])
    assert "has other content" in str(refused.exception)
    assert config.read_text(encoding="utf-8") == "[default]\n"
