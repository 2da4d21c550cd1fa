"""A fleet as a drill reads it from an account, for tests without one."""

from __future__ import annotations

from pathlib import Path

from ferry.drills.boots import Weights
from ferry.drills.provisioned import Fleet, HealthCheck
from ferry.drills.scene import Scene
from ferry.drills.timings import Timings
from ferry.rehearsal.account import EmbeddedAccount
from stacks.settings import Settings

MIB = 2**20
FLEET = Fleet(
    setting="model_versions[0]",
    version="r1-32b",
    group="ferry-prod-r1-32b",
    min_size=3,
    max_size=12,
    desired=3,
    instances=("i-1", "i-2", "i-3"),
    zones=("us-east-1a", "us-east-1b", "us-east-1c"),
    instance_types=("g5.12xlarge",),
    on_demand_base=3,
    spot_percent=0,
    rebalances=False,
    health_check_type="ELB",
    grace_s=120,
    boot_timeout_s=1800,
    warm_pool=None,
    target=HealthCheck(interval_s=15, failures=3),
    volume_bytes_per_s=500 * MIB,
    volume="its gp3 volume (500 MiB/s)",
    batch=64,
    load_alarms=(),
    unread_alarms=(),
)
WEIGHTS = Weights(50 * 500 * MIB, "a test")
"""50 s on that volume."""


def scene_in(folder: Path) -> Scene:
    """Of the stack `prod`, and of an account that nobody answers for."""
    return Scene(
        account=EmbeddedAccount("http://127.0.0.1:9", "us-east-1"),
        settings=Settings.load(Path(__file__).parents[1] / "stacks" / "Pulumi.prod.yaml"),
        outputs={},
        timings=Timings(),
        target_s=900,
        scratch=folder,
    )
