"""The project as the CLI sees it: the program by links, everything that the CLI writes in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pulumi_aws as aws
import yaml

from ferry.rehearsal import handlers
from ferry.rehearsal.engine import official, plugin
from ferry.rehearsal.engine.workspace import Workspace


def project(folder: Path) -> Path:
    (folder / "stacks").mkdir(parents=True)
    (folder / "__main__.py").write_text("", encoding="utf-8")
    (folder / ".secret").write_text("", encoding="utf-8")
    (folder / "Pulumi.yaml").write_text("name: ferry\nruntime: python\nstackConfigDir: elsewhere\n", encoding="utf-8")
    (folder / "stacks" / "Pulumi.qa.yaml").write_text("config: {ferry:a: mine}\n", encoding="utf-8")
    (folder / "stacks" / "settings.py").write_text("", encoding="utf-8")
    return folder


def test_the_program_is_linked_and_the_stack_file_is_a_copy(tmp_path: Path) -> None:
    source = project(tmp_path / "ours")
    made = Workspace(tmp_path / "run", source, "qa", 4711)
    made.configure({"ferry:a": "another"})
    assert (made.work_dir / "__main__.py").resolve() == source / "__main__.py"
    assert (made.work_dir / "stacks" / "settings.py").resolve() == source / "stacks" / "settings.py"
    assert not (made.work_dir / ".secret").exists()
    assert yaml.safe_load((made.work_dir / "stacks" / "Pulumi.qa.yaml").read_text()) == {
        "config": {"ferry:a": "another"}
    }
    assert yaml.safe_load((source / "stacks" / "Pulumi.qa.yaml").read_text()) == {"config": {"ferry:a": "mine"}}
    assert json.loads((made.work_dir / "Pulumi.yaml").read_text())["stackConfigDir"] == "stacks"


def test_the_policy_pack_runs_in_this_interpreter_and_the_projects_own_is_left_alone(tmp_path: Path) -> None:
    source = project(tmp_path / "ours")
    assert Workspace(tmp_path / "without", source, "qa", 4711).policy_packs == []
    (source / "policies").mkdir()
    (source / "policies" / "__main__.py").write_text("", encoding="utf-8")
    given = "runtime: {name: python, options: {virtualenv: ../.venv}}\nversion: 0.1.0\n"
    (source / "policies" / "PulumiPolicy.yaml").write_text(given, encoding="utf-8")
    made = Workspace(tmp_path / "run", source, "qa", 4711)
    (folder,) = made.policy_packs
    pack = json.loads((Path(folder) / "PulumiPolicy.yaml").read_text(encoding="utf-8"))
    assert pack == {
        "runtime": {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}},
        "version": "0.1.0",
    }
    assert (Path(folder) / "__main__.py").resolve() == source / "policies" / "__main__.py"
    assert (source / "policies" / "PulumiPolicy.yaml").read_text(encoding="utf-8") == given


def test_what_the_cli_keeps_beside_the_configuration_stays_when_that_changes(tmp_path: Path) -> None:
    made = Workspace(tmp_path / "run", project(tmp_path / "ours"), "qa", 4711)
    path = made.work_dir / "stacks" / "Pulumi.qa.yaml"
    path.write_text("encryptionsalt: v1:x\nconfig: {}\n", encoding="utf-8")
    made.configure({"ferry:a": 1})
    assert yaml.safe_load(path.read_text()) == {"encryptionsalt": "v1:x", "config": {"ferry:a": 1}}


def test_nothing_is_fetched_and_everything_is_written_under_the_runs_own_folder(tmp_path: Path) -> None:
    variables = Workspace(tmp_path / "run", project(tmp_path / "ours"), "qa", 4711).variables
    assert variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"
    assert variables["PULUMI_SKIP_UPDATE_CHECK"] == "true"
    assert variables["PULUMI_BACKEND_URL"] == f"file://{tmp_path}/run/state"
    assert variables["PULUMI_HOME"] == str(tmp_path / "run" / "home")
    assert variables["PATH"].split(os.pathsep)[0] == str(tmp_path / "run" / "bin")


def test_the_official_plugin_is_the_users_own(tmp_path: Path) -> None:
    variables = Workspace(tmp_path / "run", project(tmp_path / "ours"), "qa", None).variables
    assert {"PATH", "PULUMI_HOME"} & set(variables) == set()
    assert not (tmp_path / "run" / "bin").exists()
    assert variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"


def test_the_official_plugin_is_led_to_the_account_for_every_service_by_names_that_it_knows() -> None:
    assert official.configuration("http://127.0.0.1:5000") == {
        "aws:accessKey": "rehearsal",
        "aws:secretKey": "rehearsal",
        "aws:endpoints": [dict.fromkeys(official.SERVICES, "http://127.0.0.1:5000")],
        "aws:s3UsePathStyle": True,
        "aws:skipCredentialsValidation": True,
        "aws:skipMetadataApiCheck": True,
    }
    aws.ProviderEndpointArgs(**dict.fromkeys(official.SERVICES, "http://127.0.0.1:5000"))


def test_the_official_plugin_asks_no_service_of_the_handlers_in_aws() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(handlers.__path__[0]).glob("*.py"))
    asked = set(re.findall(r'client\("(\w+)"', sources))
    assert len(asked) > 15
    assert asked - {*official.SERVICES} == set()


def test_the_plugin_tells_the_port_and_ends_with_who_started_it(tmp_path: Path) -> None:
    plugin.install(tmp_path, 4711)
    # The middle shell is the engine: it ends at once, and the plugin after it.
    read, write = os.pipe()
    subprocess.run(
        ["/bin/sh", "-c", f"{tmp_path}/pulumi-resource-aws & sleep 0.1"], stdout=write, timeout=10, check=True
    )
    os.close(write)
    with os.fdopen(read) as told:
        assert told.read() == "4711\n"  # the end of the file is the end of the last process that held it


def test_the_version_is_the_sdks() -> None:
    assert plugin.sdk_version().split(".")[0] == "7"
