"""`ferry models import-lfs`: a git-lfs repository as a folder to push, from what lies on this disk. No network.

Every file that the commit has is taken: what is a pointer from git-lfs's own store, the rest from git. The pointers'
sha256 is checked as the file is read.
https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ferry.errors import InputError, UnreadableInput
from ferry.models import names
from ferry.models.tree import LONGEST_POINTER_BYTES, POINTER, LocalFile, State, Tree

OID = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
SIZE = re.compile(rb"^size (\d+)$", re.MULTILINE)
PLAIN = {"100644", "100755"}
NO_PART_OF_A_MODEL = {".gitattributes", ".gitignore", ".lfsconfig"}


@dataclass(frozen=True)
class _Entry:
    mode: str
    blob: str
    size: int
    path: str


def read_repository(repository: Path, revision: str, scratch: Path) -> Tree:
    """The files of a commit. Those that git itself holds are written into `scratch`.

    Raises UnreadableInput where there is no repository or no such commit, InputError for an object that git-lfs has not
    fetched, or what cannot be pushed.
    """
    store = _store(repository)
    files: list[LocalFile] = []
    left_out: list[str] = []
    missing: list[str] = []
    for entry in _entries(repository, revision):
        if Path(entry.path).name in NO_PART_OF_A_MODEL:
            left_out.append(f"{entry.path}: git's own")
            continue
        if entry.mode not in PLAIN:
            raise InputError(
                f"{repository}: {entry.path} is a link or a submodule; a model has only plain files, take it out"
            )
        if problem := names.path_problem(entry.path):
            raise InputError(f"{repository}: the name of {entry.path!r} {problem}; rename it")
        content = _git(repository, "cat-file", "blob", entry.blob) if entry.size <= LONGEST_POINTER_BYTES else None
        if content is not None and content.startswith(POINTER):
            file = _fetched(entry.path, content, store)
            if file is None:
                missing.append(entry.path)
            else:
                files.append(file)
        else:
            files.append(_from_git(repository, entry, scratch))
    if missing:
        raise InputError(
            f"{repository}: git-lfs has not fetched {missing[0]}"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}; run `git lfs fetch` there"
        )
    if not files:
        raise InputError(f"{repository}: {revision} has no files, so there is no model in it")
    return Tree(tuple(sorted(files, key=lambda file: file.path)), tuple(left_out))


def lay_out(tree: Tree, folder: Path) -> Path:
    """Make a folder that has the tree's files as links, for what reads a model's folder. Returns the folder."""
    for file in tree.files:
        link = folder / file.path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.source)
    return folder


def _fetched(path: str, pointer: bytes, store: Path) -> LocalFile | None:
    oid, size = OID.search(pointer), SIZE.search(pointer)
    if oid is None or size is None:
        raise InputError(f"{path}: is a git-lfs pointer without sha256 and size; check it out again")
    name = oid[1].decode()
    found = store / name[:2] / name[2:4] / name
    if not found.is_file():
        return None
    state = State.of(found.stat())
    if state.size != int(size[1]):
        raise InputError(
            f"{found}: has {state.size} bytes, the pointer {path} says {int(size[1])}; run `git lfs fetch` again"
        )
    return LocalFile(path, str(found), state, name)


def _from_git(repository: Path, entry: _Entry, scratch: Path) -> LocalFile:
    target = scratch / entry.blob
    if not target.exists():
        with target.open("wb") as out:
            ran = subprocess.run(  # noqa: S603 - no shell, and the blob's id is git's own
                _command(repository, "cat-file", "blob", entry.blob), stdout=out, stderr=subprocess.PIPE, check=False
            )
        if ran.returncode:
            raise UnreadableInput(f"{repository}: git cannot read {entry.path}: {_last_line(ran.stderr)}")
    return LocalFile(entry.path, str(target), State.of(target.stat()))


def _entries(repository: Path, revision: str) -> list[_Entry]:
    commit = _git(repository, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
    entries = []
    for line in _git(repository, "ls-tree", "-r", "-z", "--long", "--full-tree", commit).split(b"\0"):
        if line:
            fields, _, path = line.partition(b"\t")
            mode, _, blob, size = fields.decode().split()
            entries.append(
                _Entry(mode, blob, int(size) if size.isdigit() else 0, path.decode(errors="surrogateescape"))
            )
    return entries


def _store(repository: Path) -> Path:
    """Where git-lfs keeps its objects: `lfs.storage` where it is set, else `lfs` in the repository's own folder."""
    if not repository.is_dir():
        raise UnreadableInput(f"{repository}: is no folder; name a git repository, with or without a working tree")
    own = Path(_git(repository, "rev-parse", "--path-format=absolute", "--git-common-dir").decode().strip())
    ran = subprocess.run(  # noqa: S603
        _command(repository, "config", "--get", "--type=path", "lfs.storage"), capture_output=True, check=False
    )
    configured = ran.stdout.decode().strip()
    return own / (configured or "lfs") / "objects"


def _git(repository: Path, *arguments: str) -> bytes:
    try:
        ran = subprocess.run(_command(repository, *arguments), capture_output=True, check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise UnreadableInput("git is not on PATH; install it, or push the checked-out folder") from error
    if ran.returncode:
        raise UnreadableInput(
            f"{repository}: git {arguments[0]}: {_last_line(ran.stderr)}; name a git repository and a commit"
        )
    return ran.stdout


def _command(repository: Path, *arguments: str) -> list[str]:
    return ["git", "-C", str(repository), *arguments]


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "failed without a word"
