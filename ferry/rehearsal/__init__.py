"""The rehearsal: the unchanged Pulumi program against an embedded AWS account, and checks on the account it leaves.

runner    what is rehearsed, and what came of it          process   the child, seen from here
child     the child's own side                            copies    forks of the child's account
server    the moto server        conditions  what moto ignores in policies      seeds  what a real account has
program   runs `__main__.py`     handlers/   Pulumi types to AWS calls          checks/  statements on the account
"""

from ferry.rehearsal.runner import (
    Served,
    judge_stack,
    rehearse,
    rehearse_stack,
    serve,
    serve_stack,
    stack_of,
)

__all__ = ["Served", "judge_stack", "rehearse", "rehearse_stack", "serve", "serve_stack", "stack_of"]
