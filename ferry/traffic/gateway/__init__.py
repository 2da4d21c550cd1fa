"""The gateway at home: Envoy, configured by files that change while it runs.

Routes, Mirror     what the routes file says: weights, mirror, generation
GatewayFolder      the rendered folder, Envoy's working folder
Admin              what a running Envoy says of itself
"""

from ferry.traffic.gateway.admin import Admin, Mark
from ferry.traffic.gateway.folder import GatewayFolder
from ferry.traffic.gateway.routes import Mirror, Routes, Stage

__all__ = ["Admin", "GatewayFolder", "Mark", "Mirror", "Routes", "Stage"]
