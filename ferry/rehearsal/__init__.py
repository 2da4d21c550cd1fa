"""The rehearsal: the unchanged Pulumi program against an embedded AWS account, and checks on the account it leaves.

runner    what is rehearsed, and what came of it          process   the child, seen from here
child     the child's own side                            copies    forks of the child's account
server    the moto server        conditions  what moto ignores in policies      seeds  what a real account has
program   runs `__main__.py`     handlers/   Pulumi types to AWS calls          checks/  statements on the account
engine/   runs it under the real engine instead
stub_engine/  an OpenAI-compatible engine that generates nothing
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferry.rehearsal.runner import (
        CLI,
        Served,
        judge_stack,
        rehearse,
        rehearse_stack,
        serve,
        serve_change,
        serve_stack,
        stack_of,
    )

__all__ = [
    "CLI",
    "Served",
    "judge_stack",
    "rehearse",
    "rehearse_stack",
    "serve",
    "serve_change",
    "serve_stack",
    "stack_of",
]


def __getattr__(name: str) -> Any:
    """Load the runner when it is asked for: a stub engine starts without it, in a third of the time."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ferry.rehearsal import runner

    return getattr(runner, name)
