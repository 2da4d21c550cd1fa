"""Runs drills, each on a copy of its own of one served rehearsal."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from botocore.exceptions import ClientError

from ferry import artefacts
from ferry.artefacts import Drill, Drills, Plan
from ferry.drills import (
    audit_tamper,
    bad_release,
    cloud_unreachable,
    gpu_fault,
    home_loss,
    model_corruption,
    region_loss,
    spike,
    spot_storm,
    token_leak,
    zone_loss,
)
from ferry.drills.scene import CANARY_POLICY, Scene
from ferry.drills.timings import Timings
from ferry.errors import FerryError
from ferry.planning.memory import weight_bytes
from ferry.rehearsal import Served
from ferry.rehearsal.account import EmbeddedAccount
from stacks.settings import Settings

DRILLS: Mapping[str, Callable[[Scene], Drill]] = {
    "spike": spike.drill,
    "zone-loss": zone_loss.drill,
    "region-loss": region_loss.drill,
    "bad-release": bad_release.drill,
    "spot-storm": spot_storm.drill,
    "gpu-fault": gpu_fault.drill,
    "token-leak": token_leak.drill,
    "audit-tamper": audit_tamper.drill,
    "model-corruption": model_corruption.drill,
    "cloud-unreachable": cloud_unreachable.drill,
    "home-loss": home_loss.drill,
}
"""By name, in the order in which `all` runs them."""

PREFIX = "ferry-drill-"


def run(
    served: Served,
    names: Sequence[str],
    *,
    timings: Timings,
    target_s: float,
    weights: Mapping[str, float],
    policy: Path = CANARY_POLICY,
    told: Callable[[str], None] = lambda what: None,
) -> Drills:
    """The drills of these names. What a drill does to its account is done to a copy, which ends with it."""
    started = time.monotonic()
    drills = []
    for name in names:
        told(name)
        with served.copy() as endpoint_url, _scratch(name) as folder:
            scene = Scene(
                account=EmbeddedAccount(endpoint_url, served.rehearsal.region),
                settings=served.settings,
                outputs=served.rehearsal.outputs,
                timings=timings,
                target_s=target_s,
                scratch=folder,
                weights=weights,
                policy=policy,
                told=lambda what, name=name: told(f"{name}: {what}"),  # type: ignore[misc]
            )
            drills.append(drilled(name, scene))
    return Drills(
        schema_=Drills.SCHEMA,
        made_at=artefacts.now(),
        made_from=served.rehearsal.made_from,
        environment=served.rehearsal.environment,
        region=served.rehearsal.region,
        seconds=round(time.monotonic() - started, 1),
        drills=drills,
    )


def drilled(name: str, scene: Scene) -> Drill:
    """One drill. What keeps it from being run, such as a resource that is gone, is what is missing."""
    try:
        return DRILLS[name](scene)
    except (FerryError, ClientError) as error:
        why = f"it could not be run: {' '.join(str(error).split())}"
        return Drill(name=name, fault="", target_s=scene.target_s, timeline=[], missing=[why])


def weights_of(plan_file: Path, *, force: bool) -> dict[str, float]:
    """Bytes of the planned model, by the name of its version. Raises ArtefactError."""
    plan = artefacts.read(Plan, plan_file, force=force)
    version = Settings.from_config(plan.config).model_versions[0].name
    return {version: weight_bytes(plan.serving_facts.model)}


@contextmanager
def _scratch(name: str) -> Iterator[Path]:
    """A folder for one drill; its name says whose it is, so that what a killed process left can be told."""
    folder = Path(mkdtemp(prefix=f"{PREFIX}{os.getpid()}-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def swept() -> list[Path]:
    """Remove the folders of drills whose process is gone; those that were there."""
    found = []
    for folder in sorted(Path(gettempdir()).glob(f"{PREFIX}[0-9]*")):
        process = folder.name.removeprefix(PREFIX).partition("-")[0]
        with suppress(OSError, ValueError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid() or _is_alive(int(process)):
                continue
            shutil.rmtree(folder)
            found.append(folder)
    return found


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
