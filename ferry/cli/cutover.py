"""`ferry cutover start | status | pause | resume | abort`, and `ferry rollback`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ferry.cli.options import Force, Json, PlanFile, Project
from ferry.cli.output import NO, note, show
from ferry.errors import GatewayError, InvalidField, TrafficError

if TYPE_CHECKING:
    from ferry.traffic.cutover.controller import Controller
    from ferry.traffic.cutover.desk import BehindListener, Desk
    from ferry.traffic.cutover.rollback import Rollback

INTERRUPTED = 130
cutover = typer.Typer(
    help="Move traffic from home to the cloud, step by step, each held by a gate.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Gateway = Annotated[
    Path | None,
    typer.Option(
        "--gateway",
        metavar="DIR",
        envvar="FERRY_GATEWAY",
        help="The gateway's folder [default: build/ENV/local/gateway of the program, where there is one].",
    ),
]
Listener = Annotated[
    str | None,
    typer.Option(
        "--listener",
        metavar="ARN",
        help="Move weights between two model versions in the cloud instead: `pulumi stack output listener_arn`.",
    ),
]
TakeOver = Annotated[bool, typer.Option("--take-over", help="Although a controller runs: it is fenced off, and ends.")]
ToColdEngine = Annotated[
    bool, typer.Option("--force", help="Although the engine at home does not answer; the ledger says so.")
]


@cutover.command()
def start(
    plan_file: PlanFile,
    policy: Annotated[Path, typer.Option("--policy", metavar="FILE", help="canary.yaml: the steps and the gate.")],
    gateway: Gateway = None,
    baseline: Annotated[str, typer.Option(metavar="NAME", help="Where traffic is: a cluster, or a version.")] = "local",
    candidate: Annotated[str, typer.Option(metavar="NAME", help="Where it goes.")] = "cloud",
    listener: Listener = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the steps, their sample sizes and how long they take.")
    ] = False,
    take_over: TakeOver = False,
    project: Project = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Begin a cutover, or go on with the one that broke off. Exit code 3: the plan says stay, or it was rolled back.

    It may be killed at any moment: traffic stays as it is, and the next start goes on from there.
    """
    from ferry.artefacts import Plan, read
    from ferry.traffic.cutover.forecast import forecast, rate_of
    from ferry.traffic.cutover.text import describe_forecast

    plan = read(Plan, plan_file, force=force)
    if plan.verdict == "stay" and not force:
        reasons = [reason.text for reason in plan.reasons if reason.says == "against"]
        text = f"{plan_file}: the verdict is stay ({'; '.join(reasons)}); to move all the same, say --force"
        show({"result": "refused", "verdict": plan.verdict, "reasons": reasons}, text, as_json)
        raise typer.Exit(NO)
    desk = _desk(gateway, project, listener, plan.environment)
    controller = desk.controller(
        plan_file, policy, baseline=baseline, candidate=candidate, forced=force and plan.verdict == "stay"
    )
    if dry_run:
        found = forecast(controller.policy, controller.steps, rate_of(desk.folder.access_log, plan))
        show(found.dump(), describe_forecast(found), as_json)
        return
    _run(desk, controller, take_over=take_over, as_json=as_json)


@cutover.command()
def status(gateway: Gateway = None, listener: Listener = None, project: Project = None, as_json: Json = False) -> None:
    """Where the cutover is, and what the gate says of its step now; changes nothing."""
    from ferry.traffic.cutover.text import describe_status

    found = _desk(gateway, project, listener).status()
    show(found.dump(), describe_status(found), as_json)


@cutover.command()
def pause(gateway: Gateway = None, listener: Listener = None, project: Project = None, as_json: Json = False) -> None:
    """Stay at this step until `resume`. The gate goes on watching, and still rolls back."""
    state, alive = _desk(gateway, project, listener).order("pause", _person())
    text = "paused" if alive else "paused; no controller runs, and the next one will stay at this step"
    show({"result": "paused", "controller_runs": alive, "share": state.intended.candidate}, text, as_json)


@cutover.command()
def resume(
    gateway: Gateway = None,
    listener: Listener = None,
    take_over: TakeOver = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Go on after a pause; where no controller runs, be the controller. Exit code 3: it was rolled back."""
    from ferry.artefacts import Plan, read

    desk = _desk(gateway, project, listener)
    state, alive = desk.order("run", _person())
    if alive and not take_over:
        text = f"the controller goes on: {state.holder}"
        show({"result": "resumed", "controller_runs": True, "share": state.intended.candidate}, text, as_json)
        return
    read(Plan, Path(state.plan), force=state.forced)
    controller = desk.controller(
        Path(state.plan),
        Path(state.policy),
        baseline=state.baseline,
        candidate=state.candidate,
        forced=state.forced,
        verb="cutover resume",
    )
    _run(desk, controller, take_over=take_over, as_json=as_json)


@cutover.command()
def abort(
    gateway: Gateway = None,
    listener: Listener = None,
    project: Project = None,
    force: ToColdEngine = False,
    as_json: Json = False,
) -> None:
    """End the cutover: all traffic goes back where it came from. Exit code 3: the engine there is cold."""
    from ferry.traffic.cutover.state import State
    from ferry.traffic.cutover.text import describe_end

    done = _desk(gateway, project, listener).abort(_person(), force=force)
    if isinstance(done, State):
        show({"result": done.phase, "why": done.why}, describe_end(done), as_json)
    else:
        _show_rollback(done, as_json)


def rollback(
    gateway: Gateway = None, project: Project = None, force: ToColdEngine = False, as_json: Json = False
) -> None:
    """All traffic home, in one step, with the cloud unreachable too and whatever a controller does.

    Exit code 3: the engine at home is cold while the other side answers, and --force was not given.
    """
    desk = _desk(gateway, project)
    _show_rollback(desk.go_home(force=force, why=f"rolled back by {_person()}"), as_json)


def _show_rollback(done: Rollback, as_json: bool) -> None:
    from ferry.traffic.cutover.text import describe_rollback

    show(done.dump(), describe_rollback(done), as_json)
    if done.refused:
        raise typer.Exit(NO)
    if not done.confirmed:
        raise typer.Exit(1)


def _run(desk: Desk, controller: Controller, *, take_over: bool, as_json: bool) -> None:
    """Be the controller until the cutover has ended."""
    from dataclasses import replace

    from ferry.cli.cutover_progress import Progress
    from ferry.traffic.cutover.text import describe_end, describe_interrupted

    if desk.listener is None and not desk.admin.ready():
        raise GatewayError(
            f"{desk.admin.url}: Envoy's admin endpoint does not answer, or Envoy is not ready; traffic stays as it "
            "was; start it with `ferry gateway run`"
        )
    alive = desk.alive
    if not alive.take(by_force=take_over):
        state = desk.states.load()
        holder = "a controller" if state is None else str(state.holder)
        raise TrafficError(
            f"{holder} runs already; see `ferry cutover status`, or fence it off with --take-over where it hangs"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Progress(quiet=as_json) as progress:
            done = replace(controller, told=progress).run()
    except KeyboardInterrupt:
        note(f"ferry: {describe_interrupted(desk.states.load())}", as_json)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        alive.release()
    document = {"result": done.phase, "why": done.why, "cutover": done.id, "share": done.intended.candidate}
    show(document, describe_end(done), as_json)
    if done.phase != "done":
        raise typer.Exit(NO)


def _desk(
    given: Path | None, project: Path | None, listener: str | None = None, environment: str | None = None
) -> Desk:
    """The gateway that is meant. Raises InvalidField where none is found, or several."""
    from ferry.project import project_at
    from ferry.traffic.cutover.desk import Desk
    from ferry.traffic.gateway import GatewayFolder

    if listener is not None:
        return Desk(_desk(given, project, None, environment).folder, _listener(listener))
    if given is not None:
        return Desk(GatewayFolder(given))
    build = project_at(project) / "build"
    found = sorted(build.glob(f"{environment or '*'}/local/gateway"))
    if len(found) != 1:
        several = f"several: {', '.join(str(each) for each in found)}" if found else f"none below {build}"
        raise InvalidField(f"which gateway is meant? There is {several}; name its folder with --gateway DIR")
    return Desk(GatewayFolder(found[0]))


def _listener(arn: str) -> BehindListener:
    import boto3

    from ferry.traffic.cutover.desk import BehindListener

    parts = arn.split(":")
    if len(parts) != 6 or parts[2] != "elasticloadbalancing" or not parts[5].startswith("listener/app/"):
        raise InvalidField(f"--listener {arn}: is not the ARN of an application load balancer's listener")
    session = boto3.Session(region_name=parts[3])
    return BehindListener(arn, session.client("elbv2"), session.client("cloudwatch"))


def _person() -> str:
    from ferry.traffic.cutover.state import Holder

    this = Holder.this("")
    return f"{this.user}@{this.host}"
