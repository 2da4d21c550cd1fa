"""A stack under the real engine during a rehearsal: the provider, the workspace, and the CLI by its own API."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pulumi import automation
from pulumi.automation.errors import CommandError

from ferry.errors import PolicyBroken, RehearsalError
from ferry.rehearsal.engine import plugin
from ferry.rehearsal.engine.provider import Progress, Provider, serve
from ferry.rehearsal.engine.steps import Steps
from ferry.rehearsal.engine.workspace import Workspace
from ferry.rehearsal.handlers import Account


class Session:
    """One stack. Every method runs the CLI once and raises RehearsalError with what it said."""

    def __init__(
        self,
        folder: Path,
        project: Path,
        stack: str,
        account: Account,
        progress: Progress | None = None,
        official: Mapping[str, Any] | None = None,
    ) -> None:
        """`official` is the configuration that leads AWS's official plugin, which is then used, to the account."""
        if shutil.which("pulumi") is None:
            raise RehearsalError("`pulumi` is not on PATH; `ferry doctor` says how to get it")
        self.provider = Provider(account, plugin.sdk_version(), progress)
        self._server, port = serve(self.provider)
        self._official = official or {}
        self.workspace = Workspace(folder, project, stack, None if official else port)
        self._stack: automation.Stack | None = None

    def close(self) -> None:
        """Stop answering the engine."""
        self._server.stop(None).wait()

    @property
    def name(self) -> str:
        """Which engine runs, with which provider."""
        version = f"pulumi v{self._opened().workspace.pulumi_version}"
        return f"{version} with the official AWS plugin {plugin.sdk_version()}" if self._official else version

    def up(self, config: Mapping[str, Any]) -> Steps:
        """Make the account what the program says. Raises PolicyBroken where the policy pack refuses a resource."""
        return self._run(lambda stack, **how: stack.up(policy_packs=self.workspace.policy_packs, **how), config)

    def preview(self, config: Mapping[str, Any]) -> Steps:
        """What `up` would do. Raises PolicyBroken where the policy pack refuses what is known of the stack yet."""
        return self._run(lambda stack, **how: stack.preview(policy_packs=self.workspace.policy_packs, **how), config)

    def refresh(self) -> Steps:
        """Read the account into the state."""
        return self._run(lambda stack, **how: stack.refresh(**how))

    def destroy(self, *, exclude_protected: bool = False) -> Steps:
        """Delete what the state knows."""
        return self._run(lambda stack, **how: stack.destroy(exclude_protected=exclude_protected, **how))

    def resources(self) -> Counter[str]:
        """How many of each type the state holds, without components and the engine's own."""
        deployment: Mapping[str, Any] = self._opened().export_stack().deployment or {}
        held = deployment.get("resources", [])
        return Counter(one["type"] for one in held if one.get("custom") and not one["type"].startswith("pulumi:"))

    def cancel(self) -> None:
        """Take the lock off a state whose engine was killed."""
        self._opened().cancel()

    def outputs(self) -> dict[str, Any]:
        """What the program exported."""
        return {name: output.value for name, output in self._opened().outputs().items()}

    def _run(self, run: Callable[..., Any], config: Mapping[str, Any] | None = None) -> Steps:
        if config is not None:
            self.workspace.configure({**config, **self._official})
        steps = Steps()
        with _said_by_the_engine(steps):
            run(self._opened(), on_event=steps.note, color="never", suppress_progress=True)
        return steps

    def _opened(self) -> automation.Stack:
        if self._stack is None:
            with _said_by_the_engine(Steps()):
                self._stack = automation.create_or_select_stack(
                    self.workspace.stack,
                    work_dir=str(self.workspace.work_dir),
                    opts=automation.LocalWorkspaceOptions(env_vars=self.workspace.variables),
                )
        return self._stack


@contextmanager
def _said_by_the_engine(steps: Steps) -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        if steps.broken:
            raise PolicyBroken(f"the engine refuses the stack: {'; '.join(dict.fromkeys(steps.broken))}") from error
        lines = [line for line in str(error).splitlines() if "error:" in line]
        said = steps.errors or [line.partition("error:")[2].strip() for line in lines] or [str(error).strip()[-300:]]
        raise RehearsalError("; ".join(dict.fromkeys(said))) from error
