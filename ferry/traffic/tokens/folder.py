"""What a gateway's folder holds of tokens, and how the filters are made from it.

    tokens.yaml               the operator's settings
    state/tokens/keys.json    the keys, each with where it stands; nothing secret
    state/tokens/<kid>.pem    private keys, mode 0600; none for keys in KMS
    state/tokens/revoked.json
    filters/*.yaml            made from all that by `publish`; as `ferry render` writes them, they let everybody in

Whoever changes something holds the lock, and writes the state before the filters. A process that is killed in between
leaves filters that are older than the state, and the next one publishes what it left.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ferry.errors import GatewayError, InvalidField, TokenError
from ferry.traffic.gateway import GatewayFolder, Routes
from ferry.traffic.gateway.folder import FILTERS, Filter
from ferry.traffic.lock import locked
from ferry.traffic.tokens import envoy_filters
from ferry.traffic.tokens.keys import KeyRing
from ferry.traffic.tokens.revocations import Revocations
from ferry.traffic.tokens.settings import FILE_NAME, TokenSettings

APPLY_SECONDS = 5.0
"""Envoy takes a new filter in a fraction of a second."""
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class TokenFolder:
    """The tokens of one gateway."""

    gateway: GatewayFolder

    @classmethod
    def at(cls, gateway: Path) -> TokenFolder:
        """The tokens of the gateway whose rendered folder this is. Raises InvalidField for another folder."""
        folder = GatewayFolder(gateway)
        if not folder.envoy_file.is_file() and not (gateway / FILE_NAME).is_file():
            raise InvalidField(f"{gateway}: neither envoy.yaml nor {FILE_NAME} is in it; name the gateway's folder")
        return cls(folder)

    @property
    def path(self) -> Path:
        """Where the keys and the revocations lie."""
        return self.gateway.state / "tokens"

    @property
    def keys_file(self) -> Path:
        """The keys and where each stands."""
        return self.path / "keys.json"

    @property
    def revoked_file(self) -> Path:
        """What is refused."""
        return self.path / "revoked.json"

    def private_key(self, kid: str) -> Path:
        """Where the private half of a key lies that is not in KMS."""
        return self.path / f"{kid}.pem"

    def settings(self) -> TokenSettings:
        """The operator's settings. Raises TokenError where there are none."""
        settings = TokenSettings.read(self.gateway.path)
        if settings is None:
            raise TokenError(
                f"{self.gateway.path / FILE_NAME}: is missing; write issuer and audience into it, then try again"
            )
        return settings

    @contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the lock: alone to change something, `shared` while a token is signed.

        Raises TokenError, and TrafficError where somebody does not let go: signing in KMS may hang for minutes.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise TokenError(f"{self.path}: cannot be used: {error.strerror}") from error
        with locked(self.path / "lock", shared=shared):
            yield

    def filters(self) -> Mapping[Filter, str]:
        """The three filters as they have to be. Raises TokenError without settings, or without a key to check with."""
        settings, routes = self.settings(), _routes(self.gateway)
        ring, revocations = KeyRing.read(self.keys_file), Revocations.read(self.revoked_file)
        if not ring.keys:
            raise TokenError(
                f"{self.keys_file}: there is no key to check tokens with; make one with `ferry token rotate-keys`"
            )
        return {
            "authentication": envoy_filters.authentication(
                ring.jwks(),
                issuer=settings.issuer,
                audience=settings.audience,
                max_lifetime_seconds=settings.max_lifetime_seconds,
                clock_skew_seconds=settings.clock_skew_seconds,
                forward=settings.load_balancer_checks,
                user_header=routes.user_header if routes else None,
            ),
            "revocation": envoy_filters.revocation(
                (one.blocked() for one in revocations.revoked),
                inference_paths=(*envoy_filters.INFERENCE_PATHS, *_stages(routes)),
            ),
            "rate_limit": envoy_filters.rate_limit(settings.limit, settings.tenants),
        }

    def publish(self, now: datetime) -> tuple[Filter, ...]:
        """Forget revocations that are over, and write the filters that have changed. Gives their names."""
        revocations = Revocations.read(self.revoked_file)
        if (left := revocations.pruned(now)) != revocations:
            left.write(self.revoked_file)
        texts = self.filters()
        changed = tuple(name for name, text in texts.items() if _text(self.gateway.filter_file(name)) != text)
        for name in changed:
            self.gateway.write_filter(name, texts[name])
        return changed

    def in_force(self) -> bool:
        """Whether the gateway's Envoy runs the filters as they stand. Waits for it; False: none answers, and one that
        starts reads them then.

        Raises GatewayError where it goes on with earlier ones.
        """
        until = time.monotonic() + APPLY_SECONDS
        while True:
            try:
                loaded = self.gateway.admin().filters()
            except GatewayError:
                return False
            written = {name: self.gateway.filter_version(name) for name in FILTERS}
            behind = [name for name in FILTERS if name not in loaded or loaded[name].version != written[name]]
            if not behind:
                return True
            if time.monotonic() > until:
                raise GatewayError(
                    f"{self.gateway.path}: Envoy did not take filters/{behind[0]}.yaml within {APPLY_SECONDS:g} s, "
                    f"and checks tokens as before; {self.gateway.envoy_log} says why"
                )
            time.sleep(POLL_SECONDS)


def _routes(gateway: GatewayFolder) -> Routes | None:
    return gateway.read_routes() if gateway.routes_file.is_file() else None


def _stages(routes: Routes | None) -> tuple[str, ...]:
    """Paths of services before or behind the engine: they take the same tokens."""
    return tuple(stage.prefix for stage in routes.stages) if routes else ()


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
