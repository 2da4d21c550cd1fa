"""Says what a file is that no reader reads, as far as it can be told from its beginning."""

from __future__ import annotations

import re

from ferry.assess.discovery.sample import HEAD_BYTES, TAIL_BYTES, Sample

ARTEFACT = re.compile(r"^schema: [\"']?(ferry/[\w-]+/v\d+)", re.MULTILINE)
LEDGER = re.compile(r'\{"at": .{1,10000}"previous": "[0-9a-f]{64}"')
BINARIES = (
    (b"PAR1", "is Parquet, and no request trace"),
    (b"\x7fELF", "is a program"),
    (b"\x89PNG", "is an image"),
    (b"%PDF", "is a PDF"),
    (b"SQLite format 3", "is a database"),
)
WEB_PAGE = re.compile(r"\s*(?:<!doctype html|<html)", re.IGNORECASE)


def why_unknown(sample: Sample) -> str:
    """The reason to name for a file without a reader."""
    if not sample.head.strip():
        return "is empty"
    if sample.archive:
        return f"is a {sample.archive} archive: unpack it"
    for magic, kind in BINARIES:
        if sample.head.startswith(magic):
            return kind
    if sample.is_binary:
        return "is binary"
    if match := ARTEFACT.search(sample.ends[:1000]):
        return f"is Ferry's own ({match[1]})"
    if LEDGER.match(sample.ends[:20_000]):
        return "is Ferry's own ledger"
    if WEB_PAGE.match(sample.ends):
        return "is a web page"
    if sample.size > HEAD_BYTES + TAIL_BYTES:
        return (
            f"has nothing that Ferry reads in its first {HEAD_BYTES // 1024} and its last {TAIL_BYTES // 1024} KiB; "
            "name it in site.yaml if that lies between them"
        )
    return "is of no kind that Ferry reads"
