"""Where the Pulumi program lies: Ferry is used from its own clone, so it walks up to `Pulumi.yaml`."""

from __future__ import annotations

from pathlib import Path

from ferry.errors import InvalidField


def find_project(start: Path) -> Path | None:
    """The nearest folder at or above `start` that holds a Pulumi.yaml and Ferry's components, or None."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "Pulumi.yaml").is_file() and (folder / "components").is_dir():
            return folder
    return None


def project_at(given: Path | None) -> Path:
    """The folder named with `--project`, or the one found from the working folder. Raises InvalidField."""
    start = given or Path.cwd()
    found = find_project(start)
    if found is None or (given is not None and found != given.resolve()):
        raise InvalidField(
            f"{start}: no Pulumi.yaml with Ferry's components here{'' if given else ' or above'}; "
            "run from Ferry's clone, or name the program with --project DIR"
        )
    return found
