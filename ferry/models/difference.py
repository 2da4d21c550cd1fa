"""`ferry models diff`: what two versions differ in, by their signed manifests alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ferry.models.checksums import chunk_lengths
from ferry.models.manifest import File, Manifest


@dataclass(frozen=True)
class FileDifference:
    """One path that is not the same in both. `new_bytes` are of chunks that the old file has not in that place."""

    path: str
    change: Literal["added", "removed", "changed"]
    old_bytes: int
    size_bytes: int
    new_bytes: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What changes from `old` to `new`."""

    old: str
    new: str
    same_files: int
    same_bytes: int
    files: tuple[FileDifference, ...]

    @property
    def new_bytes(self) -> int:
        """Bytes that only the new version has."""
        return sum(file.new_bytes for file in self.files)

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "new_bytes": self.new_bytes}


def difference(old: Manifest, new: Manifest) -> Difference:
    """Compare by SHA-256, and changed files of one size by chunk. A file under another path counts as added."""
    same = [
        file
        for file in new.files
        if old.by_path.get(file.path, file).sha256 == file.sha256 and file.path in old.by_path
    ]
    changes = []
    for path in sorted(old.by_path.keys() | new.by_path.keys()):
        before, after = old.by_path.get(path), new.by_path.get(path)
        if before is not None and after is not None and before.sha256 == after.sha256:
            continue
        changes.append(_change(path, before, after))
    return Difference(
        old=f"{old.model}@{old.version}",
        new=f"{new.model}@{new.version}",
        same_files=len(same),
        same_bytes=sum(file.size for file in same),
        files=tuple(changes),
    )


def _change(path: str, before: File | None, after: File | None) -> FileDifference:
    old_bytes = 0 if before is None else before.size
    if after is None:
        return FileDifference(path, "removed", old_bytes, 0, 0)
    if before is None:
        return FileDifference(path, "added", 0, after.size, after.size)
    new_bytes = after.size
    if (before.size, before.chunk_bytes) == (after.size, after.chunk_bytes):
        chunks = zip(
            chunk_lengths(after.size, after.chunk_bytes), before.chunk_checksums, after.chunk_checksums, strict=True
        )
        new_bytes = sum(length for length, one, other in chunks if one != other)
    return FileDifference(path, "changed", old_bytes, after.size, new_bytes)
