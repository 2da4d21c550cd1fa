"""What `ferry audit` says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ferry.traffic.audit.shipper import EXPOSURE_S
from ferry.traffic.audit.status import Status
from ferry.traffic.audit.verification import Chain, Verification

MOST_SHOWN = 20
"""Gaps and faults of one kind; the rest is in the JSON."""


def describe_status(status: Status) -> str:
    """A gateway's chain as this machine knows it."""
    chainer = "running" if status.running else "not running"
    if status.sequence is None:
        shipped = "nothing is in the archive yet"
    else:
        shipped = (
            f"{status.instance}: {status.requests} requests are in the archive, up to sequence {status.sequence}, "
            f"sealed at {status.sealed_at}"
        )
    way = "an object is on its way" if status.on_its_way else "no object waits"
    behind = f"{status.lines_behind} lines of the log are in no object yet"
    return f"chainer: {chainer}\n{shipped}\n{way}; {behind} (up to {EXPOSURE_S} s of traffic while it runs)"


def describe(verification: Verification) -> str:
    """What holds, what does not, and up to where."""
    if not verification.chains:
        return "no chain has anything in this time" if not verification.faults else "\n".join(verification.faults)
    lines = [line for chain in verification.chains for line in _chain(chain)]
    lines += _some("wrong", verification.faults)
    lines += verification.notes
    return "\n".join(lines)


def _chain(chain: Chain) -> Iterator[str]:
    name = f"{chain.instance} from {chain.start}"
    if chain.fault is not None:
        yield f"{name}: DOES NOT HOLD: {chain.fault}"
    else:
        yield f"{name}: holds"
    if chain.proven is not None:
        yield (
            f"  proven: sequence {chain.first} to {chain.proven}, {chain.requests} requests in {chain.objects} "
            f"objects, sealed {chain.sealed_from} to {chain.sealed_until}"
        )
        yield f"  signed with {', '.join(identifier[:16] for identifier in chain.signed_with)}"
    if chain.fault is None and not chain.stopped:
        yield f"  not proven: what came after that head; up to {EXPOSURE_S} s of traffic while the archive was reached"
    if chain.unreadable:
        yield f"  {chain.unreadable} lines of the log are no JSON; they are kept as they were"
    if chain.events:
        yield "  " + ", ".join(f"{what}: {count}" for what, count in sorted(chain.events.items()))
    yield from _some("gap", chain.gaps)
    yield from _some("clock", chain.clock_jumps)


def _some(what: str, found: Sequence[str]) -> Iterator[str]:
    yield from (f"  {what}: {one}" for one in found[:MOST_SHOWN])
    if len(found) > MOST_SHOWN:
        yield f"  {what}: {len(found) - MOST_SHOWN} more, see --json"
