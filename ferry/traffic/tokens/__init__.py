"""Short-lived tokens for the gateway: issued, revoked, checked by Envoy.

settings        tokens.yaml: issuer, audience, how long, how often
signing         the keys: a file, or KMS
keys            where each key stands: next, current, retiring
rotation        one call, one step
issue           a token; and its revocation
revocations     what is refused although it is valid
envoy_filters   the three filters that check all this
folder          where it lies; `filters(gateway)` is what render writes
"""

from ferry.traffic.tokens.folder import TokenFolder

__all__ = ["TokenFolder"]
