"""Secrets in files, as detect-secrets sees them and as the shapes do that the policies know."""

from __future__ import annotations

from pathlib import Path

from detect_secrets import SecretsCollection
from detect_secrets.settings import transient_settings

from ferry.compliance.secrets import kinds_in

DETECTORS = (
    *("AWSKeyDetector", "ArtifactoryDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "GitHubTokenDetector"),
    *("GitLabTokenDetector", "JwtTokenDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector"),
    *("PypiTokenDetector", "SlackDetector", "StripeDetector", "TwilioKeyDetector", "KeywordDetector"),
)
"""Those that go by a shape, or by what a value is called. Entropy alone would take every sha256 for a secret."""


def found(files: list[Path]) -> list[tuple[str, str]]:
    """File name and kind of every secret that either of the two sees."""
    collection = SecretsCollection()
    with transient_settings({"plugins_used": [{"name": name} for name in DETECTORS]}):
        for file in files:
            collection.scan_file(str(file))
    ours = [
        (file.name, kind) for file in files for kind in kinds_in(file.read_text(encoding="utf-8", errors="replace"))
    ]
    return ours + [(Path(name).name, secret.type) for name, secret in collection]


def files_in(folder: Path) -> list[Path]:
    """Every file below a folder, in order."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]
