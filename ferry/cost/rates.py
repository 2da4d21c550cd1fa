"""Exchange rates that somebody stated: nothing is ever converted without one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from ferry.artefacts import ExchangeRate
from ferry.errors import InvalidField

_GIVEN = re.compile(r"(?P<base>[A-Z]{3})/(?P<quote>[A-Z]{3})=(?P<rate>[0-9]+(\.[0-9]+)?)")


@dataclass(frozen=True)
class Rates:
    """What one unit of the first currency costs in the second, and who says so. A rate serves both ways."""

    stated: tuple[ExchangeRate, ...] = ()

    def between(self, source: str, target: str) -> tuple[Decimal, str] | None:
        """The factor from one currency to another, and what it rests on; None where nobody stated one."""
        if source == target:
            return Decimal(1), ""
        for one in self.stated:
            said = f"{one.base}/{one.quote} {one.rate}, {one.source}" + (f", {one.as_of}" if one.as_of else "")
            if (one.base, one.quote) == (source, target):
                return one.rate, said
            if (one.base, one.quote) == (target, source):
                return 1 / one.rate, said
        return None

    def factor(self, source: str, target: str) -> Decimal:
        """The factor from one currency to another. Raises InvalidField that names the option where there is none."""
        found = self.between(source, target)
        if found is None:
            raise InvalidField(
                f"amounts in {source} and {target} cannot be added: give a rate with --rate {source}/{target}=…, "
                "or with its date and source in costs.exchange_rates of site.yaml"
            )
        return found[0]


NO_RATES = Rates()


def rates(given: Iterable[str] = (), site: Iterable[ExchangeRate] = ()) -> Rates:
    """Those given on the command line as `USD/CNY=7.1`, before those of the site. Raises InvalidField."""
    return Rates((*(_parse(text) for text in given), *site))


def _parse(text: str) -> ExchangeRate:
    found = _GIVEN.fullmatch(text.strip())
    rate = Decimal(found["rate"]) if found else Decimal(0)
    if found is None or not rate or found["base"] == found["quote"]:
        raise InvalidField(f"--rate {text}: expected two currencies and a positive number, such as USD/CNY=7.1")
    return ExchangeRate(base=found["base"], quote=found["quote"], rate=rate, as_of="", source="given with --rate")
