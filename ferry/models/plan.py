"""What a push has to do for each file, decided from what is known before anything is read or sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ferry.models.checksums import Digests
from ferry.models.manifest import File, Manifest
from ferry.models.transport import Stored
from ferry.models.tree import LocalFile


@dataclass(frozen=True)
class Base:
    """A file of another version: whole or in chunks, it may be what is pushed now."""

    key: str
    file: File


@dataclass(frozen=True)
class Compare:
    """An object of this size lies at the file's key: hash the file, ask for its checksum, send if they differ."""

    file: LocalFile
    base: Base | None


@dataclass(frozen=True)
class Copy:
    """Another version has these very bytes: the store copies them, over what lies there with this etag."""

    file: LocalFile
    base: Base
    replacing: str | None


@dataclass(frozen=True)
class Send:
    """Read, hash and send at once; chunks that the base has at the same place are copied by the store.

    A push that runs beside this one, of other files under the same name, has to be seen: hence the etag to replace.
    """

    file: LocalFile
    base: Base | None
    replacing: str | None


Action = Compare | Copy | Send


@dataclass(frozen=True)
class Plan:
    """The actions, the largest files first, and the keys that lie where the version will be and do not belong to it."""

    actions: tuple[Action, ...]
    strays: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class References:
    """The files of other versions, by what finds them."""

    by_sha256: Mapping[str, Base]
    by_size: Mapping[int, Sequence[Base]]

    @staticmethod
    def of(manifests: Iterable[Manifest]) -> References:
        """Of verified manifests, the newest last: it wins."""
        by_sha256: dict[str, Base] = {}
        by_size: dict[int, list[Base]] = {}
        for manifest in manifests:
            for file in manifest.files:
                base = Base(manifest.prefix + file.path, file)
                by_sha256[file.sha256] = base
                by_size.setdefault(file.size, []).insert(0, base)
        return References(by_sha256, by_size)

    def same(self, digests: Digests) -> Base | None:
        """A file with this content. Empty files are sent: there is nothing to save."""
        base = self.by_sha256.get(digests.sha256)
        return base if digests.size and base is not None and base.file.digests == digests else None

    def like(self, file: LocalFile) -> Base | None:
        """A file of several chunks that may share some of them: the same path before another of the same size."""
        similar = [base for base in self.by_size.get(file.state.size, ()) if base.file.chunks]
        return next((base for base in similar if base.file.path == file.path), similar[0] if similar else None)


def plan(
    files: Iterable[LocalFile],
    known: Mapping[str, Digests],
    stored: Mapping[str, Stored],
    references: References,
) -> Plan:
    """Decide.

    `known` has the digests of files that need not be read for them, by path; `stored` what lies under the
    version's prefix already, by path.
    """
    actions: list[Action] = []
    paths: set[str] = set()
    for file in files:
        paths.add(file.path)
        digests = known.get(file.path)
        base = references.like(file)
        there = stored.get(file.path)
        replacing = None if there is None else there.etag
        if there is not None and there.size == file.state.size:
            actions.append(Compare(file, base))
        elif digests is not None and (same := references.same(digests)) is not None:
            actions.append(Copy(file, same, replacing))
        else:
            actions.append(Send(file, base, replacing))
    # The largest first: the last worker to end then has little left to do.
    actions.sort(key=lambda action: -action.file.state.size)
    return Plan(tuple(actions), tuple(sorted(stored.keys() - paths)))
