"""What a file starts, before and after its flags are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ferry.artefacts import Finding
from ferry.artefacts.deployment import Deployment, Engine, FileKind
from ferry.assess.deployments.words import Word
from ferry.errors import UnreadableInput

MOST_JOBS = 500
MOST_FINDINGS = 1000


@dataclass
class Reading:
    """The jobs of one file, what was found, and what else it starts: neither serving nor training."""

    file: str
    kind: FileKind
    jobs: list[Deployment] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def find(self, severity: str, code: str, seen: str, line: int, means: str, remedy: str) -> None:
        """Note a finding at a line of the file, once."""
        finding = Finding.model_validate(
            {
                "severity": severity,
                "code": code,
                "seen": seen,
                "where": f"{self.file}:{line}",
                "means": means,
                "remedy": remedy,
            }
        )
        if len(self.findings) >= MOST_FINDINGS:
            raise UnreadableInput(f"{self.file}: gives more than {MOST_FINDINGS} findings; give a part of it")
        if finding not in self.findings:
            self.findings.append(finding)


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a file starts, as its format says it: a command line in words, an image, an environment.

    `words` are empty where the image's own entry point runs. With `is_arguments` they follow that entry point.
    """

    name: str
    line: int
    words: list[Word] = field(default_factory=list)
    is_arguments: bool = False
    environment: Mapping[str, Word] = field(default_factory=dict)
    image: Word | None = None
    resource: str = ""
    engine: Engine | None = None
    launcher: str | None = None
    model: Word | None = None
    served_name: Word | None = None
    pinned: Mapping[str, Word] = field(default_factory=dict)
    replicas: int | None = None
    nodes: int | None = None
    gpus: int | None = None
    port: Word | None = None
    published: bool = False
