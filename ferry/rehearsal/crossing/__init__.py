"""The crossing on loopback: two stub engines, the rendered gateway under a real Envoy, and what is done to them.

site    engines, gateway and Envoy      walk    what `ferry rehearse` does there, one line each
"""
