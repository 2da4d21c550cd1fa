from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ferry.artefacts import Rehearsal, read, sha256_of
from ferry.errors import DuplicateUrn, InvalidField, RehearsalError, TamperedArtefact, UnreadableInput
from ferry.rehearsal import Served, process, rehearse, rehearse_stack, serve_stack
from ferry.rehearsal.account import EmbeddedAccount
from tests.plans import config, write_plan

Project = Callable[..., Path]


@pytest.fixture(scope="module")
def created() -> list[tuple[int, str]]:
    return []


@pytest.fixture(scope="module")
def served(
    tiny_project: Project, tmp_path_factory: pytest.TempPathFactory, created: list[tuple[int, str]]
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    project = tiny_project(folder / "project")
    with serve_stack("qa", project, artefact_folder=folder, progress=lambda *seen: created.append(seen)) as served:
        yield served


def test_the_result_says_what_was_made_seeded_and_with_what(served: Served) -> None:
    rehearsal = served.rehearsal
    assert (rehearsal.environment, rehearsal.region, rehearsal.front, rehearsal.emulator) == (
        "qa",
        "us-east-1",
        "in-process",
        "moto 5.2.5",
    )
    assert rehearsal.resources == {"aws:sns/topic:Topic": 1}
    assert rehearsal.outputs == {"topic": "arn:aws:sns:us-east-1:123456789012:alarms-fa4d8d2"}
    assert [line.split(":")[0] for line in rehearsal.seeded] == [
        "SSM parameter /aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id "
        "in us-east-1",
        "ACM certificate for llm.site.example in us-east-1",
    ]
    assert [source.path for source in rehearsal.made_from] == ["project/stacks/Pulumi.qa.yaml"]
    assert 0 < rehearsal.seconds < 60


def test_checks_that_see_nothing_of_the_stack_fail_the_rehearsal(served: Served) -> None:
    assert served.rehearsal.passed is False


def test_progress_names_each_resource_as_it_is_created(served: Served, created: list[tuple[int, str]]) -> None:
    assert created == [(1, "aws:sns/topic:Topic alarms")]


def test_properties_are_told_by_type_and_path(served: Served) -> None:
    assert served.properties == {"aws:sns/topic:Topic": {"tags": "sent"}}


def test_the_aws_cli_works_on_the_served_account_with_its_variables_alone(served: Served) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("aws"), "sns", "list-topics", "--output", "json"],
        env={"PATH": "/usr/bin:/bin", "HOME": "/", **served.variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["Topics"] == [{"TopicArn": served.rehearsal.outputs["topic"]}]


def test_a_copy_has_the_account_and_changes_only_itself(served: Served) -> None:
    original = EmbeddedAccount(served.endpoint_url, "us-east-1").client("sns")
    before = original.list_topics()["Topics"]
    with served.copy() as one, served.copy() as other:
        changed, untouched = (EmbeddedAccount(url, "us-east-1").client("sns") for url in (one, other))
        assert changed.list_topics()["Topics"] == before
        changed.delete_topic(TopicArn=served.rehearsal.outputs["topic"])
        assert (changed.list_topics()["Topics"], untouched.list_topics()["Topics"]) == ([], before)
    assert original.list_topics()["Topics"] == before


def test_two_rehearsals_of_one_stack_are_the_same(served: Served, tiny_project: Project, tmp_path: Path) -> None:
    again = rehearse_stack("qa", tiny_project(tmp_path / "project"), artefact_folder=tmp_path)
    differing = {"made_at", "seconds"}
    assert again.model_dump(exclude=differing) == served.rehearsal.model_dump(exclude=differing)


def test_the_result_is_an_artefact_that_can_be_read_again(served: Served, tmp_path: Path) -> None:
    served.rehearsal.write(tmp_path / "rehearsal.yaml")
    assert read(Rehearsal, tmp_path / "rehearsal.yaml").outputs == served.rehearsal.outputs


def test_the_program_sees_nothing_of_the_users_aws_and_pulumi(
    tiny_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "PULUMI_CONFIG", "PULUMI_CONFIG_FERRY_ENVIRONMENT", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "mine")
    program = (
        "import os, pulumi\npulumi.export('seen', [name for name, value in os.environ.items() if value == 'mine'])"
    )
    project = tiny_project(tmp_path / "project", program)
    assert rehearse_stack("qa", project, artefact_folder=tmp_path).outputs == {"seen": []}


# ---- plans ---------------------------------------------------------------------------------------------------------


def test_a_plan_is_rehearsed_when_the_stack_file_holds_it(tiny_project: Project, tmp_path: Path) -> None:
    project = tiny_project(tmp_path / "project")
    plan = write_plan(tmp_path / "plan.yaml")
    rehearsal = rehearse(plan, project, artefact_folder=tmp_path)
    assert [(source.path, source.sha256) for source in rehearsal.made_from] == [
        ("plan.yaml", sha256_of(plan)),
        ("project/stacks/Pulumi.qa.yaml", sha256_of(project / "stacks/Pulumi.qa.yaml")),
    ]


def test_a_plan_that_was_not_rendered_is_refused(tiny_project: Project, tmp_path: Path) -> None:
    project = tiny_project(tmp_path / "project")
    (project / "stacks/Pulumi.qa.yaml").unlink()
    plan = write_plan(tmp_path / "plan.yaml")
    with pytest.raises(RehearsalError) as raised:
        rehearse(plan, project, artefact_folder=tmp_path)
    assert str(raised.value) == (f"{project}/stacks/Pulumi.qa.yaml: not there; write it with `ferry render {plan}`")


def test_a_stack_file_that_says_otherwise_than_the_plan_is_refused(tiny_project: Project, tmp_path: Path) -> None:
    project = tiny_project(tmp_path / "project")
    plan = write_plan(tmp_path / "plan.yaml", config=config(fleet={"max_size": 9}, audit={"retention_days": 400}))
    with pytest.raises(RehearsalError) as raised:
        rehearse(plan, project, artefact_folder=tmp_path)
    assert str(raised.value) == (
        f"{project}/stacks/Pulumi.qa.yaml: ferry:audit, ferry:model_versions is not what {plan} decided; write it with "
        f"`ferry render {plan}`, or rehearse the file as it stands with `ferry rehearse --stack qa`"
    )


def test_a_plan_that_was_edited_is_refused_unless_forced(tiny_project: Project, tmp_path: Path) -> None:
    project = tiny_project(tmp_path / "project")
    plan = write_plan(tmp_path / "plan.yaml")
    plan.write_text(plan.read_text(encoding="utf-8").replace("verdict: go", "verdict: stay"), encoding="utf-8")
    with pytest.raises(TamperedArtefact):
        rehearse(plan, project, artefact_folder=tmp_path)
    assert rehearse(plan, project, artefact_folder=tmp_path, force=True).environment == "qa"


# ---- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "kind", "message"),
    [
        (
            "import pulumi_aws as aws\naws.sns.Topic('a')\naws.sns.Topic('a')",
            DuplicateUrn,
            "urn:pulumi:qa::ferry::aws:sns/topic:Topic::a: two resources have this URN; "
            "give one another name or parent",
        ),
        (
            "import pulumi_aws as aws\naws.ssm.get_parameter(name='/aws/service/another/ami')",
            RehearsalError,
            "SSM parameter /aws/service/another/ami is not in the embedded account of us-east-1; the rehearsal seeds "
            "what the stack names (fleet.ami_parameter): correct the name, or seed it in ferry/rehearsal/seeds.py",
        ),
        (
            "import os, sys\nprint('out of paper', file=sys.stderr, flush=True)\nos._exit(7)",
            RehearsalError,
            "the rehearsal's process ended with status 7: out of paper",
        ),
    ],
)
def test_what_fails_in_the_child_is_raised_here(
    tiny_project: Project, tmp_path: Path, program: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as raised:
        rehearse_stack("qa", tiny_project(tmp_path / "project", program), artefact_folder=tmp_path)
    assert (type(raised.value), str(raised.value)) == (kind, message)


def test_a_child_that_says_nothing_is_given_up(
    tiny_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LIMIT_SECONDS", 0.2)
    with pytest.raises(RehearsalError) as raised:
        rehearse_stack("qa", tiny_project(tmp_path / "project"), artefact_folder=tmp_path)
    assert str(raised.value) == "the program created nothing for 0 s and did not end"


@pytest.mark.parametrize(
    ("keys", "kind", "message"),
    [
        (
            {"ferry:colour": "red"},
            InvalidField,
            "colour: Extra inputs are not permitted, given 'red'",
        ),
        (
            {"ferry:tags": {"secure": "v1:abc"}},
            RehearsalError,
            "ferry:tags is encrypted, and a rehearsal has no key to it",
        ),
    ],
)
def test_an_unusable_stack_file_is_refused_before_anything_is_started(
    tiny_project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keys: dict[str, Any],
    kind: type[Exception],
    message: str,
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    project = tiny_project(tmp_path / "project", keys=keys)
    with pytest.raises(kind) as raised:
        rehearse_stack("qa", project, artefact_folder=tmp_path)
    assert str(raised.value) == f"{project}/stacks/Pulumi.qa.yaml: {message}"


def test_a_stack_without_a_file_is_refused(tiny_project: Project, tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match=r"Pulumi\.other\.yaml: cannot be read"):
        rehearse_stack("other", tiny_project(tmp_path / "project"), artefact_folder=tmp_path)


def test_encrypted_values_of_others_are_left_out(tiny_project: Project, tmp_path: Path) -> None:
    project = tiny_project(
        tmp_path / "project",
        "import pulumi\npulumi.export('seen', pulumi.Config('site').get('password'))",
        {"site:password": {"secure": "v1:abc"}},
    )
    assert rehearse_stack("qa", project, artefact_folder=tmp_path).outputs == {"seen": None}
