"""The CLI as a subprocess: what it is asked, and what of its answers is an error. A script stands for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ferry.errors import ProvisioningError
from ferry.provisioning.command import Command

Stands = Callable[..., Command]


@pytest.fixture
def stands(tmp_path: Path) -> Stands:
    def make(answer: str = "{}", status: int = 0, stderr: str = "") -> Command:
        program = tmp_path / "bin" / "pulumi"
        program.parent.mkdir(exist_ok=True)
        (tmp_path / "answer").write_text(answer, encoding="utf-8")
        (tmp_path / "said").write_text(stderr, encoding="utf-8")
        program.write_text(
            f'#!/bin/sh\ncd {tmp_path}\necho "$@" >> asked\ncat answer\ncat said >&2\nexit {status}\n',
            encoding="utf-8",
        )
        program.chmod(0o700)
        return Command(tmp_path, "prod", {"PATH": f"{program.parent}:/usr/bin:/bin"})

    return make


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text(encoding="utf-8").splitlines()


def test_the_policy_pack_is_used_where_the_project_has_one(stands: Stands, tmp_path: Path) -> None:
    command = stands()
    command.preview(tmp_path / "plan.json")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "PulumiPolicy.yaml").write_text("runtime: python\n", encoding="utf-8")
    command.up(tmp_path / "plan.json")
    preview, up = asked(tmp_path)
    events = preview.split()[-2]
    assert [preview, up] == [
        f"preview --stack prod --json --show-sames --save-plan {tmp_path}/plan.json --event-log {events} "
        "--non-interactive",
        f"up --stack prod --yes --skip-preview --plan {tmp_path}/plan.json --policy-pack {tmp_path}/policies",
    ]


def test_the_backend_is_where_the_cli_is_logged_in(stands: Stands) -> None:
    assert stands(json.dumps({"user": "me", "url": "s3://state?region=cn-north-1"})).backend() == (
        "s3://state?region=cn-north-1"
    )


def test_what_the_report_calls_an_error_is_the_message(stands: Stands) -> None:
    report = {"diagnostics": [{"severity": "warning", "message": "w"}, {"severity": "error", "message": "no\n quota"}]}
    with pytest.raises(ProvisioningError, match=r"^pulumi preview: no quota$"):
        stands(json.dumps(report), status=255).preview(None)


def logging(command: Command, events: list[dict[str, Any]]) -> Command:
    """The same, that also writes the log of events, whose path is the last argument but one."""
    folder = command.project
    (folder / "events").write_text("\n".join(map(json.dumps, events)), encoding="utf-8")
    program = folder / "bin" / "pulumi"
    copies = 'for one; do log=$last; last=$one; done; cp events "$log"; cat answer'
    program.write_text(program.read_text(encoding="utf-8").replace("cat answer", copies), encoding="utf-8")
    return command


def policy(name: str, level: str, message: str) -> dict[str, Any]:
    return {
        "policyEvent": {"policyName": name, "enforcementLevel": level, "message": f"<{{%fg 1%}}>{message}<{{%r%}}>\n"}
    }


WAITS = policy("no-star", "advisory", "can't run policy 'no-star' from policy pack 'ferry@v0' during preview: …")


def test_a_broken_policy_is_the_message_of_the_preview_that_it_ends(stands: Stands) -> None:
    broken = [policy("imdsv2-one-hop", level, "set\n it") for level in ("mandatory", "advisory", "mandatory")]
    command = logging(stands("", status=255, stderr="error: preview failed\n"), [*broken, {"summaryEvent": {}}, WAITS])
    expected = r"^stack prod breaks a policy, nothing was changed: \[imdsv2-one-hop\] set it$"
    with pytest.raises(ProvisioningError, match=expected):
        command.preview(None)


def test_a_preview_that_fails_for_another_reason_says_that(stands: Stands) -> None:
    with pytest.raises(ProvisioningError, match=r"^pulumi preview: no quota$"):
        logging(stands("", status=255, stderr="error: no quota\n"), [WAITS]).preview(None)


def test_policies_that_wait_for_the_update_are_told_with_the_preview(stands: Stands) -> None:
    assert logging(stands('{"steps": []}'), [WAITS, {"summaryEvent": {}}, WAITS]).preview(None) == (
        {"steps": []},
        ["no-star"],
    )


def test_without_a_report_the_printed_errors_are(stands: Stands) -> None:
    with pytest.raises(ProvisioningError, match=r"^pulumi whoami: not logged in$"):
        stands("", status=1, stderr="warning: old\nerror: not logged in\n").backend()


def test_an_up_that_fails_says_how_to_go_on(stands: Stands) -> None:
    with pytest.raises(ProvisioningError, match=r"^pulumi up ended with status 7; .* `ferry up prod` again"):
        stands(status=7).up(None)


def test_without_the_cli_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProvisioningError, match="`pulumi` is not on PATH; `ferry doctor` says how to get it"):
        Command(tmp_path, "prod", {"PATH": str(tmp_path)})
