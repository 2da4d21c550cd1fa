"""`ferry models rollout`: the nodes of a fleet are replaced by nodes that serve what a channel means.

Each step looks at what is there and does the rest, so a rollout that broke off anywhere is run again:

    channel ── template ── refresh ── warm pool
    which version is meant; a launch-template version that names it; the nodes, new ones first, half of them and then
    the others; and what the refresh left of old nodes in the warm pool

The embedded account of a rehearsal exchanges the nodes at once and says so; nothing fails there.

A failed boot, or the alarm on unhealthy nodes, brings the old template back (EC2 Auto Scaling does that by itself). A
wanted rollback is a promotion of the previous version and a rollout.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ferry.errors import Conflict, InvalidField, TransferError
from ferry.models import fleet as fleets
from ferry.models.fleet import Fleet, Refresh
from stacks.settings import ModelVersion, Settings, group_name

State = Literal["in place", "pending", "replacing", "rolled back", "failed"]
POLL_SECONDS = 15.0
MOST_HEALTHY_PERCENT = 110
"""A node more than desired at most, as `pulumi up` replaces nodes."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How nodes are replaced. The defaults are those that InferenceFleet gives its group."""

    min_healthy_percent: int = 100
    checkpoint_percents: tuple[int, ...] = (50, 100)
    checkpoint_delay_seconds: int = 600

    def __post_init__(self) -> None:
        """Raise InvalidField for what EC2 Auto Scaling refuses.

        https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RefreshPreferences.html
        """
        if not 0 <= self.min_healthy_percent <= 100:
            raise InvalidField(f"--min-healthy {self.min_healthy_percent}: allowed is 0 to 100; choose one between")
        steps = self.checkpoint_percents
        if any(not 1 <= step <= 100 for step in steps) or list(steps) != sorted(set(steps)):
            raise InvalidField(f"--checkpoint {', '.join(map(str, steps))}: allowed are 1 to 100, each above the last")
        if not 0 <= self.checkpoint_delay_seconds <= 172_800:
            raise InvalidField(
                f"--checkpoint-delay {self.checkpoint_delay_seconds}: allowed is 0 to 172800 s; choose one between"
            )


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Where a rollout is."""

    fleet: str
    group_name: str
    model: str
    version: str
    """What the channel means."""
    served: str
    """What nodes of the group's template serve: the wanted version, once the group has its new template."""
    state: State
    template_version: str | None
    refresh: Refresh | None
    outdated_live: int | None
    outdated_warm: int | None
    """Nodes that came from another template; None where the wanted template is not there yet."""

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Account:
    """Clients of the account, in the stack's region."""

    autoscaling: Any
    ec2: Any
    cloudwatch: Any


def choose(settings: Settings, model: str, fleet: str | None) -> ModelVersion:
    """The stack's fleet that serves a model. Raises InvalidField where none does, or several and none is named."""
    serving = [one for one in settings.model_versions if one.model == model and fleet in (None, one.name)]
    if len(serving) == 1:
        return serving[0]
    known = ", ".join(f"{one.name} ({one.model})" for one in settings.model_versions)
    if serving:
        raise InvalidField(f"several fleets of the stack serve {model}: {known}; name one with --fleet")
    wanted = f"fleet {fleet} that serves {model}" if fleet else f"fleet that serves {model}"
    raise InvalidField(f"the stack has no {wanted}; it has {known}")


def look(account: Account, settings: Settings, serving: ModelVersion, version: str) -> Rollout:
    """Where the rollout of a version is, without changing anything. Raises as `roll_out`."""
    return _asking(lambda: _look(account, settings, serving, version))


def roll_out(
    account: Account,
    settings: Settings,
    serving: ModelVersion,
    version: str,
    *,
    pace: Pace,
    wait: bool = True,
    told: Callable[[Rollout], None] = lambda now: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Rollout:
    """Do what is left of a rollout, and wait for its end unless told otherwise.

    A refresh that was undone is a result (`rolled back`, `failed`), not an error; the next call starts it again.
    Raises InvalidField where the group is not there, Conflict where another refresh is under way, RepositoryError where
    the template or the alarm is not as `pulumi up` makes them, TransferError where AWS refuses a request.
    """
    return _asking(lambda: _roll_out(account, settings, serving, version, pace, wait, told, sleep))


def _asking(ask: Callable[[], Rollout]) -> Rollout:
    try:
        return ask()
    except (ClientError, BotoCoreError, ResponseParserError) as error:
        raise TransferError(
            f"rollout: {' '.join(str(error).split())}; set it right and run it again, it goes on from here"
        ) from error


def _look(account: Account, settings: Settings, serving: ModelVersion, version: str) -> Rollout:
    fleet = fleets.look(account.autoscaling, group_name(settings.environment, serving.name))
    target = fleets.template_for(account.ec2, fleet, version, make=False)
    return _described(account, serving, fleet, version, target)


def _described(account: Account, serving: ModelVersion, fleet: Fleet, version: str, target: str | None) -> Rollout:
    live, warm = (None, None) if target is None else fleet.outdated(target)
    refresh = fleet.running or next((one for one in fleet.refreshes if target and one.target == target), None)
    return Rollout(
        fleet=serving.name,
        group_name=fleet.group_name,
        model=serving.model,
        version=version,
        served=fleets.served_version(account.ec2, fleet),
        state=_state(serving, fleet, target, refresh),
        template_version=target,
        refresh=refresh,
        outdated_live=live,
        outdated_warm=warm,
    )


def _state(serving: ModelVersion, fleet: Fleet, target: str | None, refresh: Refresh | None) -> State:
    if refresh is not None and refresh.running:
        return "replacing"
    if target is not None and fleet.template_version == target and not any(fleet.outdated(target)):
        return "in place" if fleet.has_warm_pool == (serving.fleet.warm_pool is not None) else "pending"
    return "pending"


def _roll_out(
    account: Account,
    settings: Settings,
    serving: ModelVersion,
    version: str,
    pace: Pace,
    wait: bool,
    told: Callable[[Rollout], None],
    sleep: Callable[[float], None],
) -> Rollout:
    name = group_name(settings.environment, serving.name)
    fleet = fleets.look(account.autoscaling, name)
    target = _own_template(account, fleet, version)
    refresh = fleet.running
    if refresh is None and (fleet.template_version != target or fleet.outdated(target)[0]):
        alarm = fleets.rollback_alarm(account.cloudwatch, fleet)
        started = account.autoscaling.start_instance_refresh(
            AutoScalingGroupName=name,
            Strategy="Rolling",
            DesiredConfiguration=fleet.desired(target),
            Preferences=preferences(pace, serving, alarm),
        )["InstanceRefreshId"]
        refresh = Refresh(started, "Pending", 0, "", target)
    if refresh is not None:
        while True:
            now = _described(account, serving, fleet := fleets.look(account.autoscaling, name), version, target)
            if now.refresh is None:  # it is described a moment after it was started
                now = replace(now, refresh=refresh, state="replacing")
            told(now)
            ended = next((one for one in fleet.refreshes if one.id == refresh.id), refresh)
            if not ended.running:
                break
            if not wait:
                return now
            sleep(POLL_SECONDS)
        if ended.status != "Successful":
            undone: State = "rolled back" if ended.status == "RollbackSuccessful" else "failed"
            return replace(now, state=undone, refresh=ended)
    # Described again: what was seen before the refresh was known to have ended may be older than its end.
    _renew_warm_pool(account, serving, fleets.look(account.autoscaling, name), target, sleep)
    return _described(account, serving, fleets.look(account.autoscaling, name), version, target)


def _own_template(account: Account, fleet: Fleet, version: str) -> str:
    """The template version to bring. While a refresh is under way none is made: it brings this version, or another."""
    running = fleet.running
    target = fleets.template_for(account.ec2, fleet, version, make=running is None)
    if target is not None and (running is None or (running.target == target and not running.ending)):
        return target
    under_way = "" if running is None else f"{running.id} ({running.status}, {running.percent} %) "
    raise Conflict(
        f"group {fleet.group_name}: instance refresh {under_way}is under way and does not bring {version}; let it end, "
        f"or end it with `aws autoscaling cancel-instance-refresh --auto-scaling-group-name {fleet.group_name}`, then "
        "run this again"
    )


def preferences(pace: Pace, serving: ModelVersion, alarm: str) -> dict[str, Any]:
    """Preferences of the refresh: new nodes first, a pause at each checkpoint, undone by a failed boot or the alarm."""
    chosen: dict[str, Any] = {
        "MinHealthyPercentage": pace.min_healthy_percent,
        # They may be 100 apart at most.
        "MaxHealthyPercentage": min(MOST_HEALTHY_PERCENT, pace.min_healthy_percent + 100),
        "InstanceWarmup": serving.fleet.scaling.warmup_seconds,
        "AutoRollback": True,
        "AlarmSpecification": {"Alarms": [alarm]},
        # Nodes that came from the wanted template stay: what a rollout that broke off has done is not done again.
        "SkipMatching": True,
    }
    if pace.checkpoint_percents:
        chosen["CheckpointPercentages"] = list(pace.checkpoint_percents)
        chosen["CheckpointDelay"] = pace.checkpoint_delay_seconds
    return chosen


def _renew_warm_pool(
    account: Account, serving: ModelVersion, fleet: Fleet, target: str, sleep: Callable[[float], None]
) -> None:
    """A refresh replaces the nodes of a warm pool, too; one that returned to it meanwhile is still of the old template.

    Nodes of a warm pool cannot be ended one by one, so the pool is taken away and made again as the stack has it.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_TerminateInstanceInAutoScalingGroup.html
    """
    pool = serving.fleet.warm_pool
    if pool is None:
        return
    if fleet.has_warm_pool:
        if not fleet.outdated(target)[1]:
            return
        account.autoscaling.delete_warm_pool(AutoScalingGroupName=fleet.group_name, ForceDelete=True)
        while fleets.look(account.autoscaling, fleet.group_name).has_warm_pool:
            sleep(POLL_SECONDS)
    account.autoscaling.put_warm_pool(
        AutoScalingGroupName=fleet.group_name,
        MinSize=pool.min_size,
        PoolState=pool.state,
        InstanceReusePolicy={"ReuseOnScaleIn": True},
    )


def describe(now: Rollout) -> str:
    """Where it is, in words."""
    lines = [f"{now.fleet} ({now.group_name}): {now.model}@{now.version} {now.state}"]
    if now.served != now.version:
        lines.append(f"nodes are launched with {now.served}")
    if now.refresh is not None:
        reason = f": {now.refresh.reason}" if now.refresh.reason else ""
        lines.append(f"instance refresh {now.refresh.id}: {now.refresh.status}, {now.refresh.percent} %{reason}")
    if now.outdated_live is not None:
        lines.append(f"nodes of another version: {now.outdated_live} in service, {now.outdated_warm} in the warm pool")
    return "\n".join(lines)
