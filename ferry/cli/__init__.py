"""The command line: the only place that prints or exits. One module a verb.

Exit codes: 0 done, 1 Ferry's error, 2 usage, 3 the answer is "no". Libraries are imported inside the commands, so that
`ferry --help` answers at once.
"""

from __future__ import annotations

import gc
import sys
from typing import Annotated, NoReturn

import typer

from ferry.cli.assess import assess
from ferry.cli.attest import attest
from ferry.cli.audit import audit
from ferry.cli.catalog import catalog, read_refreshed
from ferry.cli.compliance import compliance
from ferry.cli.cost import cost
from ferry.cli.cutover import cutover, rollback
from ferry.cli.doctor import doctor
from ferry.cli.drill import drill
from ferry.cli.gateway import gateway
from ferry.cli.models import models
from ferry.cli.models_rollout import rollout
from ferry.cli.models_transfer import plan_transfer
from ferry.cli.plan import plan
from ferry.cli.rehearse import rehearse
from ferry.cli.render import render
from ferry.cli.report import report
from ferry.cli.simulate import simulate
from ferry.cli.site import site
from ferry.cli.token import token
from ferry.cli.up import drift, up
from ferry.errors import FerryError

app = typer.Typer(
    help="Move LLM inference from a server room to AWS, and leave training at home.",
    epilog="The road: assess, plan, simulate, cost, render, rehearse, drill, up, report. "
    "Exit codes: 0 done, 1 error, 2 usage, 3 the answer: no.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (assess, plan, simulate, cost, render, rehearse, drill, report, up, drift, rollback, doctor):
    app.command()(verb)
app.add_typer(catalog, name="catalog")
models.command("rollout")(rollout)
models.command("plan-transfer")(plan_transfer)
app.add_typer(compliance, name="compliance")
app.add_typer(models, name="models")
app.add_typer(site, name="site")
app.add_typer(cutover, name="cutover")
app.add_typer(gateway, name="gateway")
app.add_typer(attest, name="attest")
app.add_typer(audit, name="audit")
app.add_typer(token, name="token")


def _version(wanted: bool) -> None:
    if wanted:
        from ferry import __version__

        sys.stdout.write(f"ferry {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Move LLM inference from a server room to AWS, and leave training at home."""
    read_refreshed()


def main() -> NoReturn:
    """Run a command; turn Ferry's errors into one line and their exit code."""
    # Python's default looks for cycles after every 700 objects, a fifth of the time of a push of ten thousand files.
    gc.set_threshold(50_000)
    try:
        app()
    except FerryError as error:
        sys.stderr.write(f"ferry: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("ferry: interrupted\n")
        sys.exit(130)
    sys.exit(0)
