"""The Pulumi CLI as a subprocess in the project's folder, with the user's own environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ferry.errors import ProvisioningError
from ferry.provisioning.policies import broken_in, waiting_in

CLI = "pulumi"
POLICIES = "policies"
"""The folder of the policy pack, where the project has one."""


class Command:
    """`pulumi` for one stack of a project. `environment` is for tests; None is the user's."""

    def __init__(self, project: Path, stack: str, environment: Mapping[str, str] | None = None) -> None:
        self.project, self.stack = project, stack
        # The option `--event-log`, which Pulumi's own automation uses, is there only with this variable.
        self._environment = dict(os.environ if environment is None else environment) | {"PULUMI_DEBUG_COMMANDS": "true"}
        path = shutil.which(CLI, path=self._environment.get("PATH"))
        if path is None:
            raise ProvisioningError(f"`{CLI}` is not on PATH; `ferry doctor` says how to get it")
        self._path = path

    @property
    def policies(self) -> list[str]:
        """The option that has the policy pack check each resource."""
        folder = self.project / POLICIES
        return ["--policy-pack", str(folder)] if (folder / "PulumiPolicy.yaml").is_file() else []

    def backend(self) -> str:
        """Where the state lies: the URL that the CLI is logged in to."""
        return str(json.loads(self._ask("whoami", "--verbose", "--json")).get("url", ""))

    def preview(self, save_plan: Path | None) -> tuple[Mapping[str, Any], list[str]]:
        """What an `up` would do, resources that stay the same included, and the policies that wait for the update.

        Raises what the CLI says, or the policies that the stack breaks.
        """
        saved = ["--save-plan", str(save_plan)] if save_plan else []
        with TemporaryDirectory() as folder:
            log = Path(folder) / "events"
            log.touch()
            try:
                report = self._report("preview", "--show-sames", *saved, *self.policies, "--event-log", str(log))
            except ProvisioningError as error:
                if broken := broken_in(log.read_text(encoding="utf-8")):
                    raise ProvisioningError(
                        f"stack {self.stack} breaks a policy, nothing was changed: {'; '.join(broken)}"
                    ) from error
                raise
            return report, waiting_in(log.read_text(encoding="utf-8"))

    def refreshed(self) -> Mapping[str, Any]:
        """What a `refresh` would write into the state; nothing is written."""
        return self._report("refresh", "--preview-only")

    def up(self, plan: Path | None, output: int | None = None) -> None:
        """Make it so; what the CLI says goes to `output`, a file descriptor, or to standard output.

        Nothing but the plan is done where one is given.
        """
        constrained = ["--plan", str(plan)] if plan else []
        done = subprocess.run(  # noqa: S603 (the CLI, and no text of others)
            [self._path, "up", "--stack", self.stack, "--yes", "--skip-preview", *constrained, *self.policies],
            cwd=self.project,
            env=self._environment,
            stdout=output,
            check=False,
        )
        if done.returncode:
            raise ProvisioningError(
                f"pulumi up ended with status {done.returncode}; what was made is in the state: "
                f"`ferry up {self.stack}` again does the rest"
            )

    def _report(self, verb: str, *options: str) -> Mapping[str, Any]:
        said = self._ask(verb, "--stack", self.stack, "--json", *options)
        report: Mapping[str, Any] = json.loads(said)
        return report

    def _ask(self, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 (the CLI, and no text of others)
            [self._path, *arguments, "--non-interactive"],
            cwd=self.project,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ProvisioningError(f"pulumi {arguments[0]}: {'; '.join(_errors(done.stdout, done.stderr))}")
        return done.stdout


def _errors(stdout: str, stderr: str) -> list[str]:
    """What went wrong, from the report where there is one, else from what was printed."""
    try:
        diagnostics = json.loads(stdout)["diagnostics"]
    except (ValueError, KeyError, TypeError):
        diagnostics = []
    told = [" ".join(one["message"].split()) for one in diagnostics if one["severity"] == "error"]
    printed = [line.partition("error:")[2].strip() for line in stderr.splitlines() if "error:" in line]
    return list(dict.fromkeys(told or printed)) or [" ".join(stderr.split())[-300:] or "it said nothing"]
