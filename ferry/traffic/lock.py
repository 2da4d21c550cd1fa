"""A lock file that is held for one write, never longer."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ferry.errors import TrafficError, UnwritableOutput

WAIT_SECONDS = 10.0
"""A write takes milliseconds; who holds the lock for longer hangs, or was stopped while it wrote."""
POLL_SECONDS = 0.01


@contextmanager
def locked(path: Path, wait_seconds: float = WAIT_SECONDS, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock file, alone or with others that want it `shared`.

    Raises TrafficError where somebody does not let go of it, since neither a rollback nor a revocation must wait for
    ever, and UnwritableOutput where it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise UnwritableOutput(
            f"{path}: cannot be locked: {error.strerror}; name a folder that may be written"
        ) from error
    with file:
        until = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    holder = _holder(os.fstat(file.fileno()).st_ino)
                    raise TrafficError(
                        f"{path}: locked for more than {wait_seconds:g} s by {holder}, which hangs or was "
                        "stopped while it wrote; end it with kill -9, nothing is lost by that, and run this again"
                    ) from None
                time.sleep(POLL_SECONDS)
        yield


def _holder(inode: int) -> str:
    """Who has the lock, as Linux says: proc_locks(5). It cannot be broken, since its holder may wake up and write."""
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return "a process"
    found = [fields[4] for fields in map(str.split, lines) if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}")]
    return f"process {found[0]}" if found else "a process"
