"""`ferry plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ferry.cli.options import Force, Json
from ferry.cli.output import NO, note, show


def plan(
    assessment: Annotated[Path, typer.Argument(metavar="ASSESSMENT", help="The file that `ferry assess` wrote.")],
    environment: Annotated[str, typer.Option("--env", metavar="ENV", help="dev, staging, prod, prod-cn, or your own.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE")] = Path("plan.yaml"),
    serving: Annotated[
        str | None, typer.Option("--serving", metavar="NAME", help="Which service moves, where a site has several.")
    ] = None,
    region: Annotated[str | None, typer.Option("--region", metavar="REGION", help="Plan for this region only.")] = None,
    quantization: Annotated[
        str | None,
        typer.Option("--quantization", metavar="KIND", help="Plan a quantised copy of the model: fp8, or awq (4 bit)."),
    ] = None,
    check_account: Annotated[
        bool, typer.Option("--check-account", help="Also read the account's quotas, zones and Spot placement scores.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Size and price the move, and give a verdict: go, conditional, defer or stay (exit 3)."""
    from ferry import ledger
    from ferry.planning import account
    from ferry.planning import plan as make_plan
    from ferry.planning.text import describe

    made = make_plan(
        assessment,
        environment=environment,
        serving=serving,
        region=region,
        quantization=quantization,
        force=force,
        artefact_folder=output.parent,
    )
    checked = account.check_account(made) if check_account else None
    made.write(output)
    ledger.append(output.parent, "plan", inputs=[assessment], outputs=[output], forced=force, result=made.verdict)
    document = made.dump() if checked is None else {**made.dump(), "account": checked.dump()}
    show(document, describe(made), as_json)
    if checked is not None and not as_json:
        show({}, account.describe(checked), as_json)
    if made.verdict == "stay":
        note(
            f"wrote {output}; the verdict is stay. To go on all the same: ferry render {output} --override-verdict",
            as_json,
        )
        raise typer.Exit(NO)
    note(f"wrote {output}; next: ferry render {output}", as_json)
