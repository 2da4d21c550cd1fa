"""What `ferry rehearse` does to traffic: a model into the account, a cutover that fails, one that does not, and back.

Everything is what the real verbs run: `models push` and `promote`, the rendered gateway under its supervisor, tokens,
the controller with its gate, `rollback`, `audit ship` and `verify`. Not real are the engines, which generate nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry import artefacts
from ferry.artefacts import Crossing
from ferry.errors import FerryError, GatewayError, RehearsalError
from ferry.models import channels, names, promotion, verification
from ferry.models import tree as trees
from ferry.models.crew import Silent
from ferry.models.journal import Journal
from ferry.models.memory import Memory
from ferry.models.push import Request, push
from ferry.models.repository import Repository
from ferry.models.s3 import S3Transport
from ferry.models.signature import FileSigner, TrustedKeys, key_id
from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.crossing.site import Site, serving
from ferry.rehearsal.load import Load
from ferry.signing_key import save_signing_key
from ferry.traffic.audit import place
from ferry.traffic.audit import verification as audit
from ferry.traffic.audit.shipper import Gateway, Identity, Shipper, run
from ferry.traffic.cutover.controller import Told
from ferry.traffic.cutover.state import State
from ferry.traffic.gateway.command import find_envoy
from ferry.traffic.tokens import TokenFolder
from ferry.traffic.tokens.issue import issue
from ferry.traffic.tokens.rotation import rotate
from stacks.settings import Settings

Figures = Mapping[str, int | float | str]

REQUESTS_PER_SECOND = 60
VERSION = "rehearsal"
CHANNEL = "rehearsal"
INSTANCE = "rehearsal"
BREAKS_AT = "50 %"
BROKEN = {"error_rate": 0.5}
TOKENS = "issuer: https://tokens.rehearsal.invalid/\naudience: gateway\n"
WEIGHTS = {"config.json": b'{"model_type": "rehearsal"}\n', "model.safetensors": bytes(1_000_000)}
"""Of the model that is pushed: as many bytes as show that it works."""

POLICY = """\
schema: ferry/canary/v1
steps:
  - {shadow: true, percent: 100, minimum_requests: 60}
  - {percent: 50, minimum_requests: 60}
  - {percent: 100, minimum_requests: 60}
gate: {alpha: 0.001, tolerated_p99_ratio: 10, minimum_seconds: 1}
"""
"""Short steps, so that little is found but what is broken outright; and a machine may be busy without anything being
called worse."""


@dataclass
class Walk:
    """The road from the model to the audit, in a scratch folder."""

    account: EmbeddedAccount
    settings: Settings
    outputs: Mapping[str, Any]
    scratch: Path
    told: Callable[[str], None] = lambda name: None
    lines: list[Crossing] = field(default_factory=list)
    _probes: int = 0

    def run(self) -> list[Crossing]:
        """Do everything that this machine can; what failed and what was skipped are results, not errors."""
        key_file = self.scratch / "signing-key.pem"
        save_signing_key(key_file, Ed25519PrivateKey.generate())
        self._signer = FileSigner.load(key_file)
        self._do("push a model and promote it", self._push)
        with ExitStack() as stack:
            self._do("run the gateway and ask for tokens", lambda: self._start(stack))
            self._do("break the cloud during a cutover", self._cut_over_and_break)
            self._do("finish the cutover", self._cut_over)
            self._do("roll back by hand", self._roll_back)
            self._do("look at every request", self._look_at_requests)
            self._do("ship the audit and verify it", self._audit)
        return self.lines

    def _do(self, name: str, what: Callable[[], Figures]) -> None:
        """One line; after a failure, or without Envoy, what needs a gateway is skipped."""
        stopped = next((line for line in self.lines[1:] if line.result != "done"), None)
        if stopped:
            why = stopped.why if stopped.result == "skipped" else f"after a failure: {stopped.name}"
            self.lines.append(Crossing(name=name, result="skipped", seconds=0, why=why))
            return
        self.told(name)
        started = time.monotonic()
        figures: Figures = {}
        result: Literal["done", "failed", "skipped"] = "done"
        why = None
        try:
            figures = what()
        except _NoEnvoy as error:
            result, why = "skipped", str(error)
        except FerryError as error:
            result, why = "failed", str(error)
        seconds = round(time.monotonic() - started, 1)
        self.lines.append(Crossing(name=name, result=result, seconds=seconds, figures=dict(figures), why=why))

    # ---- one method for each line ----

    def _push(self) -> Figures:
        folder = self.scratch / "model"
        folder.mkdir()
        for name, content in WEIGHTS.items():
            (folder / name).write_bytes(content)
        transport = S3Transport(self.account.client("s3"), self._output("model_bucket"))
        repository = Repository(transport, TrustedKeys([self._signer.public_key]))
        model, now = self.settings.model_versions[0].model, artefacts.now()
        request = Request(
            name=model,
            version=VERSION,
            tree=trees.scan(folder),
            signer=self._signer,
            pushed_by="ferry rehearse",
            at=now,
        )
        pushed = push(repository, request, Journal(self.scratch / "hashes.jsonl"), Silent())
        memory = Memory(self.scratch / "channels", 0)
        promotion.promote(repository, self._signer, model, VERSION, CHANNEL, memory, by="ferry rehearse", at=now)
        signed = channels.resolve(repository, names.Reference(model, channel=CHANNEL), memory)
        found = verification.verify(repository, signed, deep=True, progress=Silent())
        if not found.whole:
            raise RehearsalError(f"{model}:{CHANNEL} is not what was pushed: {found.problems[0].text}")
        return {"model": model, "files": pushed.files, "bytes_sent": pushed.sent_bytes, "channel": CHANNEL}

    def _start(self, stack: ExitStack) -> Figures:
        try:
            find_envoy()
        except GatewayError as error:
            raise _NoEnvoy(str(error)) from error
        folder = self.scratch / "site"
        folder.mkdir()
        site = self._site = stack.enter_context(serving(folder, self.settings))
        (site.folder.path / "tokens.yaml").write_text(TOKENS, encoding="utf-8")
        tokens = TokenFolder.at(site.folder.path)
        rotate(tokens, now=lambda: datetime.now(UTC))
        token = issue(tokens, tenant="rehearsal", subject="clients", now=datetime.now(UTC)).token
        with_token = {"authorization": f"Bearer {token}"}
        for _ in _patience("the gateway did not begin to ask for tokens"):
            if self._status(site, {}) == 401 and self._status(site, with_token) == 200:
                break
        self._load = stack.enter_context(
            Load(site.url, requests_per_second=REQUESTS_PER_SECOND, headers=lambda: with_token)
        )
        return {"without_token_status": 401, "with_token_status": 200}

    def _cut_over_and_break(self) -> Figures:
        broken: list[float] = []

        def breaks(told: Told) -> None:
            if told.step == BREAKS_AT and told.action != "enter" and not broken:
                broken.append(time.monotonic())
                self._site.cloud.behave(**BROKEN)

        state = self._controlled(breaks)
        if not broken or state.phase != "rolled back":
            raise RehearsalError(
                f"the gate was to roll back at {BREAKS_AT}, and the cutover is {state.phase}: {state.why}"
            )
        self._site.cloud.recover()
        return {
            "seconds_to_rollback": round(time.monotonic() - broken[0], 1),
            "cloud_percent": self._cloud_percent(),
            "reason": state.why,
        }

    def _cut_over(self) -> Figures:
        state = self._controlled(lambda told: None)
        if state.phase != "done" or self._cloud_percent() != 100:
            raise RehearsalError(f"the cutover is {state.phase} at {self._cloud_percent()} %: {state.why}")
        return {"cloud_percent": self._cloud_percent()}

    def _roll_back(self) -> Figures:
        started = time.monotonic()
        done = self._site.desk.go_home(force=False, why="rehearsed")
        if done.refused or not done.confirmed:
            raise RehearsalError(f"the rollback did not come into force: {done.home}; {'; '.join(done.problems)}")
        return {"seconds_to_home": round(time.monotonic() - started, 2), "cloud_percent": self._cloud_percent()}

    def _look_at_requests(self) -> Figures:
        self._load.stop()
        answers = self._load.answers
        outcomes = Counter(answer.outcome for answer in answers)
        repeated = {**self._site.home.seen().repeated, **self._site.cloud.seen().repeated}
        refused = [answer for answer in answers if answer.outcome == "refused"]
        figures = {
            "requests": len(answers),
            "answered": outcomes["answered"],
            "refused_by_the_broken_cloud": sum(answer.engine == "cloud" for answer in refused),
            "lost": outcomes["lost"] + outcomes["late"],
            "truncated": outcomes["truncated"],
            "repeated": len(repeated),
        }
        ours = sum(answer.engine is None for answer in refused)
        if ours or figures["lost"] or figures["truncated"] or repeated:
            told = ", ".join(f"{name} {value}" for name, value in figures.items())
            raise RehearsalError(f"requests were lost: {told}, refused by the gateway {ours}")
        return figures

    def _audit(self) -> Figures:
        store = S3Transport(self.account.client("s3"), self._output("audit_bucket"))
        trusted = TrustedKeys([self._signer.public_key])
        folder = self._site.folder
        gateway = Gateway(instance=INSTANCE, log=folder.access_log, state=folder.state)
        lines = self._logged()
        with Shipper(gateway, store, Identity(self._signer, key_id(self._signer.public_key), trusted)) as shipper:
            run(shipper, _waited, self.told, once=True)
        chains = audit.verify(place.Bucket(store), trusted)
        done = audit.Verification(chains=chains, faults=())
        if not done.holds:
            raise RehearsalError(f"the archive does not hold: {'; '.join(str(chain.fault) for chain in chains)}")
        requests = sum(chain.requests for chain in chains)
        if requests != lines:
            raise RehearsalError(f"{requests} requests are in the archive, {lines} were logged")
        return {"requests": requests, "objects": sum(chain.objects for chain in chains)}

    # ---- what they share ----

    def _controlled(self, told: Callable[[Told], None]) -> State:
        plan, policy = self.scratch / "plan.yaml", self.scratch / "canary.yaml"
        plan.write_text("", encoding="utf-8")
        policy.write_text(POLICY, encoding="utf-8")
        return self._site.desk.controller(plan, policy, told=told).run()

    def _output(self, name: str) -> str:
        if name not in self.outputs:
            raise RehearsalError(f"the program exports no {name}; the crossing needs it")
        return str(self.outputs[name])

    def _status(self, site: Site, headers: Mapping[str, str]) -> int | None:
        """What one request is answered with."""
        with Load(site.url, requests_per_second=1, headers=lambda: headers) as load:
            load.stop()
        self._probes += len(load.answers)
        return load.answers[-1].status

    def _cloud_percent(self) -> int:
        return self._site.folder.admin().applied_routes().weights["cloud"]

    def _logged(self) -> int:
        """Lines of the access log, once Envoy has written what it holds."""
        sent = len(self._load.answers) + self._probes
        for _ in _patience("the access log is not complete"):
            lines = self._site.folder.access_log.read_bytes().count(b"\n")
            if lines >= sent:
                break
        return lines


class _NoEnvoy(Exception):
    """There is none on this machine, so nothing to rehearse with."""


def _patience(what: str, seconds: float = 20.0) -> Iterator[None]:
    """Tries until the time is over. Raises RehearsalError then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.05)
    raise RehearsalError(f"{what} within {seconds:g} s")


def _waited(seconds: float) -> bool:
    """Wait; it is not to stop."""
    time.sleep(seconds)
    return False
