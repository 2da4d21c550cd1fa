"""Nothing long-lived lies in any file of a move: detect-secrets looks, and so do the shapes that the policies know."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ferry import ledger
from ferry.compliance.secrets import SHAPES, decoded
from ferry.render import render
from tests.plans import empty_project, write_plan
from tests.secret_scan import files_in, found

ROOT = Path(__file__).resolve().parents[3]

# Put together here, so that this file holds none of them.
PLANTED = {
    "AWS access key": "AKIA" + "Q3EGRV5NXW2YLMTB",
    "AWS secret key": "aws_secret_access_key = " + "wJalrXUtnFEMIK7MDENGbPxRfiCYzz1X2Y3Z4W5V",
    "private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "JWT": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "GitHub token": "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx",
    "Hugging Face token": "hf_" + "QsDfGhJkLzXcVbNmQwErTyUiOpAsDfGhJk",
    "Pulumi token": "pul-" + "0123456789abcdef0123456789abcdef01234567",
    "Slack token": "xoxb-" + "123456789012-123456789012-abcdefghijklmnop",
}
SEEN_BY_DETECT_SECRETS = {"AWS access key", "AWS secret key", "private key", "JWT", "GitHub token", "Slack token"}


def unpacked(archives: list[Path], folder: Path) -> Iterator[Path]:
    for archive in archives:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    yield from files_in(folder)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_planted_secret_is_found(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text(f"config:\n  ferry:owner: ml\n  note: {PLANTED[kind]}\n", encoding="utf-8")
    seen = [name for _, name in found([file])]
    assert kind in seen
    assert bool([name for name in seen if name not in SHAPES]) is (kind in SEEN_BY_DETECT_SECRETS)


@pytest.mark.parametrize(
    "line", ["database_password: Tr0ub4dor-and-3", "VLLM_API_KEY=0b5c1d2e9f", "url: https://push:Tr0ub4dor@nas.site"]
)
def test_a_planted_password_is_found(tmp_path: Path, line: str) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text(line + "\n", encoding="utf-8")
    assert len(found([file])) == 1


def test_no_shipped_file_holds_a_secret() -> None:
    files = [file for folder in ("stacks", "templates", "examples", "policies") for file in files_in(ROOT / folder)]
    texts = [file for file in files if file.suffix not in (".pyc", ".safetensors")]
    assert len(texts) > 30
    assert found(texts) == []


def test_nothing_rendered_and_no_line_of_the_ledger_holds_a_secret(tmp_path: Path) -> None:
    project, plan = empty_project(tmp_path / "project"), write_plan(tmp_path / "plan.yaml")
    rendered = render(plan, project=project)
    ledger.append(
        tmp_path, "render", inputs=[plan], outputs=[file.path for file in rendered.files], forced=False, result="done"
    )
    files = [plan, tmp_path / ledger.NAME, *(file.path for file in rendered.files)]
    bundle = [file for file in files if file.name.endswith(".tar.gz")]
    assert len(files) > 15
    assert found([*files, *unpacked(bundle, tmp_path / "bundle")]) == []


def test_the_signing_key_is_the_one_secret_of_a_project_and_never_beside_what_is_handed_on(tmp_path: Path) -> None:
    project, plan = empty_project(tmp_path / "project"), write_plan(tmp_path / "plan.yaml")
    render(plan, project=project)
    assert {name for name, _ in found(files_in(project))} == {"signing-key.pem"}
    (key,) = project.rglob("signing-key.pem")
    assert key.parent == project / ".ferry"
    assert key.stat().st_mode & 0o077 == 0


def test_no_artefact_and_no_user_data_of_a_rehearsal_holds_a_secret(
    rehearsed: Callable[[str], Any], tmp_path: Path
) -> None:
    stack = rehearsed("prod-cn")
    stack.served.rehearsal.write(tmp_path / "rehearsal.yaml")
    booted = user_data(stack.account)
    for number, text in enumerate(booted):
        (tmp_path / f"user-data-{number}").write_text(text, encoding="utf-8")
    assert ["#cloud-config" in text for text in booted] == [True]
    assert found(files_in(tmp_path)) == []
    policy = {one.rule: one.seen for one in stack.served.rehearsal.policies}["no-secret-in-user-data"]
    assert [one.value for one in policy] == ["no secret found"]


def test_nobody_in_a_rehearsed_account_has_a_key_or_a_password(rehearsed: Callable[[str], Any]) -> None:
    account = rehearsed("prod-cn").account
    assert account.client("iam").list_users()["Users"] == []
    assert account.client("ec2").describe_key_pairs()["KeyPairs"] == []
    assert account.client("secretsmanager").list_secrets()["SecretList"] == []


def user_data(account: Any) -> list[str]:
    """What the machines of an account are booted with, unpacked."""
    ec2 = account.client("ec2")
    templates = [one["LaunchTemplateId"] for one in ec2.describe_launch_templates()["LaunchTemplates"]]
    versions = [
        version["LaunchTemplateData"]
        for template in templates
        for version in ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    ]
    return [decoded(one["UserData"]) for one in versions if "UserData" in one]
