"""`ferry render`: a plan becomes the stack file and the hybrid template.

    plan.yaml → stacks/Pulumi.<env>.yaml      its own keys only (rules: ferry/render/stack_file.py)
              → build/<env>/local/…           what stays at home: gateway, metrics and alerts, training
              → build/<env>/cloud/…           what nodes get: the signed bundle, previews of their user data

Everything is rendered and checked in memory first; nothing is written when something is wrong. Rendering again changes
nothing, except what the plan, the stack file or the addresses have changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry import artefacts, node_bundle
from ferry import signing_key as keys
from ferry.artefacts import Plan
from ferry.catalog import known_bad
from ferry.catalog.known_bad import images
from ferry.errors import InvalidField, RenderError
from ferry.project import project_at
from ferry.render import hybrid
from ferry.render.hybrid import Addresses
from ferry.render.stack_file import ENCRYPTED, GATEWAY, StackFile, dropped_versions, merge
from ferry.traffic.gateway import GatewayFolder
from ferry.traffic.lock import locked
from stacks.settings import Settings
from templates import render as fill_in
from templates.gateway_node import GATEWAY_BUNDLE

__all__ = ["Addresses", "Rendered", "RenderedFile", "render"]

NODE_BUNDLE = "ferry:node_bundle"
PLACEHOLDER_DOMAIN = "llm.example.com"


@dataclass(frozen=True)
class RenderedFile:
    """A file and what became of it. `kept`: it is the operator's, and was there."""

    path: Path
    change: Literal["new", "changed", "unchanged", "kept"]


@dataclass(frozen=True)
class Rendered:
    """What `render` wrote. The stack file comes first."""

    environment: str
    stack_file: Path
    files: tuple[RenderedFile, ...]
    signing_key: Path
    signing_key_created: bool
    notes: tuple[str, ...]
    """What the operator has to know or decide, one sentence each."""

    def count(self, change: str) -> int:
        """How many files are `new`, `changed`, `unchanged` or `kept`."""
        return sum(file.change == change for file in self.files)

    def dump(self) -> dict[str, Any]:
        """Everything as JSON types."""
        files = [{"path": str(file.path), "change": file.change} for file in self.files]
        paths = {"stack_file": str(self.stack_file), "signing_key": str(self.signing_key)}
        return {**asdict(self), **paths, "files": files, "notes": list(self.notes)}


def render(
    plan_path: Path,
    *,
    project: Path | None = None,
    out: Path | None = None,
    signing_key: Path | None = None,
    override_verdict: bool = False,
    force: bool = False,
    addresses: Addresses | None = None,
    exporters: Sequence[str] | None = None,
) -> Rendered:
    """Write the stack file of the plan's environment, and the hybrid template under `out` (PROJECT/build/ENV).

    `project` is found from the working folder where it is not named. `signing_key` (PROJECT/.ferry/signing-key.pem) is
    made where it is missing. `exporters` run on each server of the site (ferry.render.alerts.EXPORTERS); None: what is
    usual for its GPUs. `override_verdict` goes on although the verdict is "stay"; `force` accepts an edited plan.
    Raises ArtefactError for a plan that cannot be trusted, RenderError for one that cannot be rendered, and
    InvalidField for a stack that AWS would refuse; then nothing is written.
    """
    plan = artefacts.read(Plan, plan_path, force=force)
    _refuse(plan, plan_path, override_verdict)
    folder = project_at(project)
    out = out or folder / "build" / plan.environment
    key_path = signing_key or folder / ".ferry" / "signing-key.pem"
    present = _present(folder / "stacks" / f"Pulumi.{plan.environment}.yaml", plan)
    key = _signing_key(key_path, present)

    trusted = _trusted(present) or keys.verification_key(key)
    bundle = node_bundle.build()
    bundle_path = out / "cloud" / node_bundle.BUNDLE_NAME
    decided = plan.config | {
        NODE_BUNDLE: {
            "path": Path(os.path.relpath(bundle_path.resolve(), folder.resolve())).as_posix(),
            "verification_key": trusted,
        }
    }
    stack = present.with_config(merge(present.config, decided))
    settings = stack.settings()
    if settings.environment != plan.environment:
        raise RenderError(
            f"{plan_path}: is for the environment {plan.environment!r}, its config says {settings.environment!r}"
        )
    if settings.gateway.domain_name == ENCRYPTED:
        raise InvalidField(f"{stack.path}: gateway.domain_name is encrypted, and the gateway at home has to name it")
    gateway = GatewayFolder(out / "local" / hybrid.GATEWAY)
    routes = gateway.read_routes() if gateway.routes_file.exists() else None
    local = hybrid.local_files(plan, settings, addresses or Addresses(), routes, exporters)
    cloud = hybrid.cloud_files(plan, settings, node_bundle.BUNDLE_NAME, trusted)
    bundles = {bundle_path: bundle}
    if tier := settings.gateway_tier:
        present_filters = _present_files(out / "local", hybrid.TOKENS_OWN)
        files = hybrid.tier_files(settings, tier, present_filters, site=plan.site, engine=plan.serving_facts.engine)
        bundles[bundle_path.with_name(GATEWAY_BUNDLE)] = node_bundle.pack(
            {name: text.encode() for name, text in files.items()}
        )
    signed = bundles | {path.with_name(f"{path.name}.sig"): key.sign(packed) for path, packed in bundles.items()}

    if key_created := not key_path.exists():
        keys.save_signing_key(key_path, key)
    own = {out / "local" / name for name in (*hybrid.OPERATORS_OWN, *hybrid.TOKENS_OWN)}
    contents: dict[Path, str | bytes] = {out / "local" / name: text for name, text in local.items()}
    contents |= {out / "cloud" / name: text for name, text in cloud.items()}
    contents |= signed
    left_over = sorted({*out.glob("local/training/*"), *out.glob("cloud/user-data.*.yaml")} - set(contents))
    # Where nobody has ever moved traffic there is no lock, and none is made: rendering again leaves no trace.
    with locked(gateway.routes_lock) if gateway.routes_lock.exists() else nullcontext():
        if routes:  # a cutover may have moved traffic since they were read
            contents[gateway.routes_file] = hybrid.routes(settings, gateway.read_routes()).dump()
        build_files = [_write(path, content, keep=path in own) for path, content in sorted(contents.items())]
    return Rendered(
        environment=plan.environment,
        stack_file=stack.path,
        # Last: until everything that it names is there, the old stack file holds.
        files=(_write(stack.path, stack.text, keep=False), *build_files),
        signing_key=key_path,
        signing_key_created=key_created,
        notes=(
            *_notes(present.config, stack.config, key_path if key_created else None),
            *_known_bad(settings),
            *(f"{path} is left over from an earlier plan." for path in left_over),
        ),
    )


def _refuse(plan: Plan, path: Path, override_verdict: bool) -> None:
    if plan.nodes_per_replica > 1:
        raise RenderError(
            f"{path}: a replica on {plan.nodes_per_replica} nodes is refused until a component exists for it; "
            "plan with a larger instance type or a quantised model"
        )
    if plan.verdict == "stay" and not override_verdict:
        raise RenderError(f"{path}: the verdict is stay; to render all the same, say --override-verdict")
    if alien := sorted(key for key in plan.config if key != "aws:region" and not key.startswith("ferry:")):
        raise RenderError(f"{path}: a plan decides aws:region and ferry: keys only, this one has {', '.join(alien)}")
    if NODE_BUNDLE in plan.config:
        raise RenderError(f"{path}: {NODE_BUNDLE} is not a plan's to decide")


def _present(path: Path, plan: Plan) -> StackFile:
    """The stack file as it is, or secure defaults where there is none."""
    if path.exists():
        return StackFile.read(path)
    decided = plan.config.get(GATEWAY) or {}
    text = fill_in(
        "hybrid/cloud/stack.yaml.j2",
        environment=plan.environment,
        region=plan.region,
        domain_name=decided.get("domain_name", PLACEHOLDER_DOMAIN),
        allowed_cidrs=decided.get("allowed_cidrs", []),
    )
    return StackFile.parse(path, text)


def _present_files(folder: Path, names: Sequence[str]) -> dict[str, str]:
    return {name: (folder / name).read_text(encoding="utf-8") for name in names if (folder / name).exists()}


def _trusted(present: StackFile) -> str | None:
    """The public keys that the stack trusts: the signing key's, and those that the operator put beside it."""
    bundle = present.config.get(NODE_BUNDLE)
    return bundle.get("verification_key") if isinstance(bundle, Mapping) else None


def _signing_key(path: Path, present: StackFile) -> Ed25519PrivateKey:
    """The key to sign with, in memory only while it is new. Raises RenderError where the stack trusts another one."""
    key = keys.load_signing_key(path) if path.exists() else Ed25519PrivateKey.generate()
    trusted = _trusted(present)
    if trusted and keys.verification_key(key).strip() not in trusted:
        found = f"{path} is another one" if path.exists() else f"there is none at {path}"
        raise RenderError(
            f"{present.path}: the stack trusts a signing key, and {found}; name the right one with --signing-key, or "
            f"remove {NODE_BUNDLE} from the stack file to start over with a new key and sign the models again"
        )
    return key


def _write(path: Path, content: str | bytes, *, keep: bool) -> RenderedFile:
    raw = content.encode() if isinstance(content, str) else content
    if not path.exists():
        artefacts.write_whole(path, raw)
        return RenderedFile(path, "new")
    if keep:
        return RenderedFile(path, "kept")
    if path.read_bytes() == raw:
        return RenderedFile(path, "unchanged")
    artefacts.write_whole(path, raw)
    return RenderedFile(path, "changed")


def _known_bad(settings: Settings) -> list[str]:
    """What the list of known-bad versions says of the images that the stack names, where it is not good."""
    notes = []
    for product, image in images(settings):
        judged = known_bad.judge_image(product, image)
        if judged.bad or judged.version is None:
            notes.append(f"{image}: {judged.says}; {judged.remedy}.")
    return notes


def _notes(before: Mapping[str, Any], after: Mapping[str, Any], new_key: Path | None) -> list[str]:
    notes = [
        f"The model version {name} is not in the plan and was taken out of the stack file."
        for name in dropped_versions(before, after)
    ]
    gateway = after[GATEWAY]
    name = gateway["domain_name"]
    if re.search(r"(^|\.)example(\.[a-z]+)?$", name):
        notes.append(f"{name} is a placeholder: set ferry:gateway.domain_name to a name of your own.")
    if not gateway.get("allowed_cidrs"):
        notes.append("Nobody can reach the load balancer: list the gateway at home in ferry:gateway.allowed_cidrs.")
    if new_key:
        notes.append(f"{new_key} is new: whoever holds it decides what the nodes run. Keep it safe, and out of git.")
    return notes
