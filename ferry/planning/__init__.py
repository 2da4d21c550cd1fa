"""`ferry plan`: fits the model into instance types, sizes and prices the fleet, and gives a verdict."""

from ferry.planning.planner import plan

__all__ = ["plan"]
