"""Fetch one version of a model from S3, and put it in place only when every byte is as it was signed.

    pull_model.py --bucket B --model M --version V --key 1.pem [--key 2.pem] --root /var/lib/ferry/models

`models/M/V/manifest.json` names every file with its size and sha256; `manifest.json.sig` is its detached signature by
one of the keys, Ed25519 or, as KMS signs, ECDSA P-256 over its SHA-256. Files are fetched into
`<root>/.partial/M/V`, checked, flushed to disk, and renamed to `<root>/M/V` in one step: that folder is whole and
verified, or it is not there. Run again, it keeps what is already fetched and intact.

Runs on the node with Python 3.10 and its standard library; `aws` is the transport, `openssl` (3.0 or later) the judge.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

SCHEMA = "ferry/model-manifest/v1"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
WORKERS = 8


class Refused(Exception):
    """The model cannot be had, or is not what was signed. The message stays on one line."""


@dataclass(frozen=True)
class File:
    """One file as the manifest promises it."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """Where the model comes from, and the keys of which one has to have signed its manifest."""

    bucket: str
    model: str
    version: str
    keys: tuple[Path, ...]

    @property
    def prefix(self) -> str:
        """Start of the names of all objects of this version."""
        return f"models/{self.model}/{self.version}/"


def main(arguments: list[str] | None = None) -> int:
    """Command line. Exit status 0 with the model's folder on stdout, 1 with one line on stderr."""
    parser = argparse.ArgumentParser(description="Fetch and verify a model.")
    for option in ("bucket", "model", "version"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--key", required=True, type=Path, action="append", help="PEM of a public key; repeat it")
    parser.add_argument("--root", required=True, type=Path, help="folder of all models")
    given = parser.parse_args(arguments)
    try:
        folder = pull(Source(given.bucket, given.model, given.version, tuple(given.key)), given.root)
    except (Refused, OSError) as error:
        sys.stderr.write(f"model {given.model} {given.version}: {error}\n")
        return 1
    sys.stdout.write(f"{folder}\n")
    return 0


def pull(source: Source, root: Path) -> Path:
    """Return the folder of the verified model, fetching it unless it is there. Raises Refused or OSError."""
    for name in (source.model, source.version):
        if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or set(name) == {"."}:
            raise Refused(f"{name!r} cannot be a folder's name")
    final = root / source.model / source.version
    if _is_in_place(source, final):
        return final
    shutil.rmtree(final, ignore_errors=True)

    partial = root / ".partial" / source.model / source.version
    partial.mkdir(parents=True, exist_ok=True)
    for name in (MANIFEST, SIGNATURE):
        aws("s3", "cp", "--only-show-errors", f"s3://{source.bucket}/{source.prefix}{name}", str(partial / name))
    files = read_manifest(source, partial)
    compare_with_bucket(source, files)
    _remove_others(partial, files)
    _require_space(partial, files)
    _fetch_all(source, files, partial)

    _flush(partial)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(final)
    _flush_folder(final.parent)
    return final


def read_manifest(source: Source, folder: Path) -> list[File]:
    """Read the folder's manifest after checking its signature, its form and what it is for. Raises Refused."""
    if not any(_signed(folder, key) for key in source.keys):
        raise Refused(f"the signature of {MANIFEST} fits none of the node's verification keys")
    try:
        document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        # What else a file's entry holds (checksums of S3's, chunks) is for those who push.
        files = [File(entry["path"], entry["size"], entry["sha256"]) for entry in document["files"]]
        identity = (document["schema"], document["model"], document["version"])
    except (ValueError, TypeError, KeyError) as error:
        raise Refused(f"{MANIFEST} is not of the form {SCHEMA}: {error!r}") from error
    if identity != (SCHEMA, source.model, source.version):
        raise Refused(f"{MANIFEST} is for {' '.join(map(str, identity))}, not for {SCHEMA} {source.model}")
    _require_safe(files)
    return files


def _signed(folder: Path, key: Path) -> bool:
    verify = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(key)]
    try:
        _run([*verify, "-in", str(folder / MANIFEST), "-sigfile", str(folder / SIGNATURE)])
    except Refused:
        return False
    return True


def _require_safe(files: list[File]) -> None:
    if not files:
        raise Refused(f"{MANIFEST} names no files")
    seen: set[str] = set()
    for file in files:
        steps = file.path.split("/") if isinstance(file.path, str) else [""]
        if any(step in ("", ".", "..") or re.search(r"[\x00-\x1f\x7f\\]", step) for step in steps):
            raise Refused(f"{MANIFEST} has the path {file.path!r}, which leaves the model's folder or is not plain")
        if file.path in seen or file.path in (MANIFEST, SIGNATURE):
            raise Refused(f"{MANIFEST} names {file.path} twice, or names itself")
        seen.add(file.path)
        if type(file.size) is not int or file.size < 0 or not re.fullmatch(r"[0-9a-f]{64}", str(file.sha256)):
            raise Refused(f"{MANIFEST} has no usable size and sha256 for {file.path}")


def compare_with_bucket(source: Source, files: list[File]) -> None:
    """Refuse a version in the bucket that lacks a file, has one too many, or one of another size."""
    listing = aws(
        *("s3api", "list-objects-v2", "--bucket", source.bucket, "--prefix", source.prefix),
        *("--query", "Contents[].[Key, Size]", "--output", "json"),
    )
    sizes = {key[len(source.prefix) :]: size for key, size in json.loads(listing or "null") or []}
    expected = {file.path: file.size for file in files}
    if missing := sorted(expected.keys() - sizes.keys()):
        raise Refused(f"missing in s3://{source.bucket}/{source.prefix}: {', '.join(missing)}")
    if extra := sorted(sizes.keys() - expected.keys() - {MANIFEST, SIGNATURE}):
        raise Refused(f"in s3://{source.bucket}/{source.prefix}, but not in {MANIFEST}: {', '.join(extra)}")
    for path, size in expected.items():
        if sizes[path] != size:
            raise Refused(f"{path} has {sizes[path]} bytes in the bucket, {size} in {MANIFEST}")


def _fetch_all(source: Source, files: list[File], folder: Path) -> None:
    pool = ThreadPoolExecutor(WORKERS)
    try:
        # The largest first: the last worker to end then has little left to do.
        ordered = sorted(files, key=lambda file: file.size, reverse=True)
        running = {pool.submit(_fetch, source, file, folder / file.path): file for file in ordered}
        for done, future in enumerate(as_completed(running), start=1):
            future.result()
            sys.stdout.write(f"{done}/{len(files)} {running[future].path}: {running[future].size} bytes, verified\n")
            sys.stdout.flush()
    finally:
        pool.shutdown(cancel_futures=True)


def _fetch(source: Source, file: File, target: Path) -> None:
    if _has_size(target, file) and _sha256(target) == file.sha256:
        return
    target.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    aws("s3", "cp", "--only-show-errors", f"s3://{source.bucket}/{source.prefix}{file.path}", str(target))
    if not _has_size(target, file) or (found := _sha256(target)) != file.sha256:
        size = target.stat().st_size
        target.unlink()
        if size != file.size:
            raise Refused(f"{file.path} has {size} bytes, {file.size} were signed")
        raise Refused(f"{file.path} was altered: sha256 is {found}, {file.sha256} was signed")


def _is_in_place(source: Source, folder: Path) -> bool:
    # Content is not hashed again: the folder got its name only after that, and whoever can write into it (root) could
    # change this program as well. Missing, cut and added files are found.
    try:
        files = read_manifest(source, folder)
    except (Refused, OSError):
        return False
    return _found(folder) == {file.path for file in files} and all(
        _has_size(folder / file.path, file) for file in files
    )


def _remove_others(folder: Path, files: list[File]) -> None:
    for path in _found(folder) - {file.path for file in files}:
        (folder / path).unlink()


def _found(folder: Path) -> set[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return set(names) - {MANIFEST, SIGNATURE}


def _has_size(path: Path, file: File) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size == file.size


def _require_space(folder: Path, files: list[File]) -> None:
    needed = sum(file.size for file in files if not _has_size(folder / file.path, file))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise Refused(f"{needed} bytes are still to be fetched, {folder} has room for {free}")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir():
            _flush_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def aws(*arguments: str) -> str:
    """Run the AWS CLI and return its stdout. Raises Refused with the last line that it wrote."""
    return _run(["aws", *arguments])


def _run(command: list[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, own words
    if ran.returncode:
        said = (ran.stderr.strip() or ran.stdout.strip() or f"exit status {ran.returncode}").splitlines()[-1]
        raise Refused(f"{command[0]}: {said}")
    return ran.stdout


if __name__ == "__main__":
    sys.exit(main())
