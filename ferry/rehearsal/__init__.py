"""The rehearsal: the unchanged Pulumi program against an embedded AWS account, and checks on the account it leaves.

runner    what is rehearsed, and what came of it          process   the child, seen from here
child     the child's own side                            copies    forks of the child's account
server    the moto server        conditions  what moto ignores in policies      seeds  what a real account has
program   runs `__main__.py`     handlers/   Pulumi types to AWS calls          checks/  statements on the account
engine/   runs it under the real engine instead
"""

from ferry.rehearsal.runner import CLI, Served, rehearse, rehearse_stack, serve, serve_change, serve_stack

__all__ = ["CLI", "Served", "rehearse", "rehearse_stack", "serve", "serve_change", "serve_stack"]
