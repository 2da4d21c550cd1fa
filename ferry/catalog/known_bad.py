"""Versions of drivers, engines and container software that must not run: what happens with them, and what mends it.

Listed is what is of high or critical severity, or stops measurements, and has a fixed version: what nobody has fixed
would refuse every version. Compiled in November 2026; a version that is not listed is not proven to be good.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from ferry.catalog import table
from ferry.errors import CatalogError
from stacks.settings import Settings

SEVERITIES = ("critical", "high", "medium")
"""The worst first."""

_VERSION = re.compile(r"[vr]?(\d+(?:\.\d+)+(?:[ -]?(?:rc|\.?post)\d+)?)(?![\w.])")


@dataclass(frozen=True)
class KnownBad:
    """Versions of one product, by a PEP 440 specifier. `id` is a CVE or advisory; `remedy` the first fixed version."""

    product: str
    versions: SpecifierSet
    id: str
    severity: str
    what: str
    remedy: Version
    source: str
    as_of: date

    def covers(self, version: Version) -> bool:
        """Whether a version is among them.

        PEP 440's own `<` lets the release candidates of a fixed version pass, which may lack the fix.
        """
        return all(
            version < Version(one.version) if one.operator == "<" else version >= Version(one.version)
            for one in self.versions
        )


@dataclass(frozen=True)
class Judgement:
    """What is known of one version. `version` None: it is not known, and neither is whether it is bad."""

    product: str
    version: Version | None
    bad: tuple[KnownBad, ...]
    """The worst first."""

    @property
    def says(self) -> str:
        """Whether it is unknown, must not run (and what happens), or is not known to be bad."""
        if self.version is None:
            return "its version is unknown, and so is whether it is known to be bad"
        if not self.bad:
            return "not known to be bad"
        more = f", and {len(self.bad) - 1} more" if len(self.bad) > 1 else ""
        worst = self.bad[0]
        return f"must not run: {worst.id} ({worst.severity}): {worst.what}{more}"

    @property
    def remedy(self) -> str:
        """The first version that mends all of it, and who says so; of an unknown one, how it gets known."""
        if not self.bad:
            return "name the version in the tag" if self.version is None else "none needed"
        last = max(self.bad, key=lambda one: one.remedy)
        return f"install {self.product} {last.remedy} or newer ({last.source})"


def judge(product: str, version: str | None) -> Judgement:
    """What the list says of a version, written as `v0.11.0`, `580.95.05` or `25.08-py3`. Raises CatalogError."""
    products = {one.product for one in listed()}
    if product not in products:
        raise CatalogError(f"no versions of {product!r} are listed; {table.nearest(product, products)}")
    known = _version(version or "")
    bad = [one for one in listed() if one.product == product and known and one.covers(known)]
    bad.sort(key=lambda one: (SEVERITIES.index(one.severity), -one.as_of.toordinal(), one.id))
    return Judgement(product, known, tuple(bad))


def judge_image(product: str, image: str) -> Judgement:
    """What the list says of an image `repository:tag`. A digest alone, and `latest`, are unknown."""
    return judge(product, image.partition("@")[0].rpartition("/")[2].partition(":")[2])


def images(settings: Settings) -> list[tuple[str, str]]:
    """Product and image of everything that a stack's nodes start."""
    found = [(version.engine.name, version.engine.image) for version in settings.model_versions]
    return [*found, ("envoy", settings.gateway_tier.image)] if settings.gateway_tier else list(found)


def products() -> list[str]:
    """Names of the products that are listed."""
    return sorted({one.product for one in listed()})


@cache
def listed() -> tuple[KnownBad, ...]:
    """All rows. Raises CatalogError for a malformed one."""
    return read(table.rows("known_bad"))


def read(rows: Iterable[Mapping[str, str]]) -> tuple[KnownBad, ...]:
    """Rows of `known_bad.csv`. Raises CatalogError for one that is malformed, or whose remedy is itself bad."""
    return tuple(_row(number, row) for number, row in enumerate(rows, start=2))


def _row(number: int, row: Mapping[str, str]) -> KnownBad:
    where = f"ferry/catalog/known_bad.csv:{number}"
    if empty := sorted(name for name, value in row.items() if not value):
        raise CatalogError(f"{where}: {', '.join(empty)} is empty; fill it in or drop the row")
    if row["severity"] not in SEVERITIES:
        raise CatalogError(f"{where}: severity is {row['severity']!r}, allowed are {', '.join(SEVERITIES)}")
    try:
        one = KnownBad(
            product=row["product"],
            versions=SpecifierSet(row["versions"]),
            id=row["id"],
            severity=row["severity"],
            what=row["what"],
            remedy=Version(row["remedy"]),
            source=row["source"],
            as_of=date.fromisoformat(row["as_of"]),
        )
    except (InvalidSpecifier, InvalidVersion, ValueError) as error:
        raise CatalogError(f"{where}: {error}; versions and remedy are PEP 440, as_of is a day") from error
    if other := sorted({part.operator for part in one.versions} - {"<", ">="}):
        raise CatalogError(f"{where}: versions has the operator {', '.join(other)}, allowed are >= and <")
    if one.covers(one.remedy):
        raise CatalogError(f"{where}: the remedy {one.remedy} is among the bad versions {one.versions}; correct one")
    return one


def _version(text: str) -> Version | None:
    found = _VERSION.match(text)
    return Version(found[1]) if found else None
