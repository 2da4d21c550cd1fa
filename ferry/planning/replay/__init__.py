"""A plan's fleet against requests that really came: scaling policies and batch limits, replayed iteration by iteration.

`case` turns a plan into what the simulation takes, `outcome` says what a policy did, `batch_limits` where the best
batch limit lies, `plots` and `text` show it.
"""

from ferry.planning.replay.replay import replay

__all__ = ["replay"]
