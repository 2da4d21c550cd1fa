"""How the simulation is compiled: one entry with a cache, everything below it inlined into it.

numba's cache looks at the file of the cached function only; a change of what it calls would go unseen. So only the
engine's entry is cached, under a key that holds the hash of all sources of this package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import njit
from numba.extending import register_jitable

_njit: Any = njit
"""numba's annotations know fewer options than it has."""
OPTIONS = {"nogil": True, "error_model": "numpy"}
WITHIN = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
"""Of functions that only compiled code calls. A call from Python takes as long to compile as the function itself, where
there are many arrays; and the caller keeps the arrays, so their references need no counting, which costs two locked
instructions for each view of one. Such functions can make no arrays, and return none."""

Function = TypeVar("Function", bound=Callable[..., Any])


def inner(function: Function) -> Function:
    """Compile for calls from other compiled functions, and from Python; nothing is cached for it alone."""
    compiled: Function = _njit(**OPTIONS)(function)
    return compiled


def part(function: Function) -> Function:
    """Compile for calls from other compiled functions only."""
    compiled: Function = _njit(**OPTIONS, **WITHIN)(function)
    return compiled


def helper(function: Function) -> Function:
    """Compiled where compiled code calls it, and plain Python where Python does: its tests need no compiler."""
    registered: Function = register_jitable(function)
    return registered


def inlined(function: Function) -> Function:
    """Like `part`, and put into each caller: for what runs for each request.

    A call that is not inlined passes each array as seven values, which costs more than the call's own work.
    """
    compiled: Function = _njit(forceinline=True, **OPTIONS, **WITHIN)(function)
    return compiled


def entry(function: Function) -> Function:
    """Compile and cache beside the sources, else in the user's cache, else for this process only.

    The function must refer to `sources_hash()` as a variable of an outer function: numba's key includes those.
    """
    try:
        compiled: Function = _njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # numba found no folder that it may write to
        compiled = _njit(**OPTIONS)(function)
    return compiled


def sources_hash() -> str:
    """SHA-256 of this package's sources, in order of their names."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
