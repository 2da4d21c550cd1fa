"""`ferry models rollout`."""

from __future__ import annotations

from typing import Annotated

import typer

from ferry.cli.model_options import Bucket, Endpoint, Keys, State, open_memory, open_repository, record
from ferry.cli.options import Json, Project
from ferry.cli.output import NO, note, show


def rollout(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model, as ferry:model_versions names it.")],
    stack: Annotated[str, typer.Option("--stack", metavar="ENV", help="Whose fleet: stacks/Pulumi.ENV.yaml.")],
    channel: Annotated[str, typer.Option("--channel", metavar="CHANNEL", help="What the nodes are to serve.")],
    bucket: Bucket,
    fleet: Annotated[
        str | None, typer.Option("--fleet", metavar="NAME", help="Which one, where several serve the model.")
    ] = None,
    min_healthy: Annotated[int, typer.Option(metavar="PERCENT", help="Nodes that stay in service throughout.")] = 100,
    checkpoint: Annotated[
        list[int] | None,
        typer.Option(
            "--checkpoint", metavar="PERCENT", help="Pause at so many new nodes; repeat it [default: 50, 100]."
        ),
    ] = None,
    checkpoint_delay: Annotated[int, typer.Option(metavar="SECONDS", help="How long each pause is.")] = 600,
    status: Annotated[bool, typer.Option("--status", help="Only say where it is; change nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end.")] = True,
    project: Project = None,
    key: Keys = None,
    endpoint: Endpoint = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Replace a fleet's nodes by nodes that serve what a channel means. Exit code 3: it was undone.

    Run again, it goes on. Back: `ferry models promote NAME --channel CHANNEL --previous`, then this.
    """
    import boto3

    from ferry.artefacts import write_whole
    from ferry.models import names
    from ferry.models import rollout as rollouts
    from ferry.models.channels import resolve
    from ferry.project import project_at
    from ferry.render.stack_file import MODEL_VERSIONS, StackFile

    file = StackFile.read(project_at(project) / "stacks" / f"Pulumi.{stack}.yaml")
    settings = file.settings()
    serving = rollouts.choose(settings, names.check_model(name), fleet)
    reference = names.Reference(name, channel=names.check_name(channel, "channel"))
    version = resolve(open_repository(bucket, endpoint, key), reference, open_memory(state)).manifest.version
    session = boto3.Session(region_name=settings.region)
    account = rollouts.Account(*(session.client(service) for service in ("autoscaling", "ec2", "cloudwatch")))
    if status:
        found = rollouts.look(account, settings, serving, version)
        show(found.dump(), rollouts.describe(found), as_json)
        return
    pace = rollouts.Pace(
        min_healthy_percent=min_healthy,
        checkpoint_percents=tuple(checkpoint or (50, 100)),
        checkpoint_delay_seconds=checkpoint_delay,
    )
    done = rollouts.roll_out(
        account,
        settings,
        serving,
        version,
        pace=pace,
        wait=wait,
        told=lambda now: note(rollouts.describe(now), as_json),
    )
    record(state, "models rollout", f"{done.group_name}: {name}@{version} {done.state}")
    show(done.dump(), rollouts.describe(done), as_json)
    if done.state == "in place" and serving.version != version:
        versions = [
            {**one, "version": version} if one["name"] == serving.name else one for one in file.config[MODEL_VERSIONS]
        ]
        changed = file.with_config({**file.config, MODEL_VERSIONS: versions})
        write_whole(changed.path, changed.text)
        note(f"{file.path} names {version} now; before the next change: pulumi refresh --stack {stack}", as_json)
    if done.state in ("rolled back", "failed"):
        raise typer.Exit(NO)
