"""Reads a file that starts engines or training, whatever its name: the format is told by the content."""

from __future__ import annotations

import re

from ferry.artefacts.deployment import FileKind
from ferry.assess.deployments import checks, compose, jobs, kubernetes, scripts, systemd
from ferry.assess.deployments.documents import LARGEST_LETTERS, documents
from ferry.assess.deployments.reading import Reading
from ferry.assess.deployments.redaction import Redactor, lines_with_secrets
from ferry.errors import UnreadableInput

LARGEST_BYTES = LARGEST_LETTERS
KINDS = "a docker-compose file, a systemd unit, a Kubernetes manifest, a Slurm or a shell script"
# A key and a mark of its own; enough to try the reader, which decides.
MANIFEST = re.compile(r"^\s*[\"']?(?:apiVersion|kind)[\"']?\s*:", re.MULTILINE)
COMPOSE = re.compile(r"^(?:services|x-[\w-]+)\s*:|^[\w.-]+\s*:\s*\n\s+(?:image|build|command)\s*:", re.MULTILINE)
UNIT = re.compile(r"^\s*\[(?:Unit|Service)\]\s*$", re.MULTILINE)
SLURM = re.compile(r"^#SBATCH\s", re.MULTILINE)
SHEBANG = re.compile(r"#!\s*\S*(?:sh|env)\b")
STARTS = re.compile(
    r"vllm|sglang|text-generation-|tritonserver|triton_server|trtllm|tensorrt-llm|ollama|torchrun|torch\.distributed|"
    r"deepspeed|accelerate\s+launch|llamafactory|axolotl|megatron|pretrain_|PyTorchJob|MPIJob|InferenceService|"
    r"kubeai\.org",
    re.IGNORECASE,
)
NAMES = re.compile(r"(?i)(?:.*compose.*\.ya?ml|.*\.(?:service|sbatch|slurm|sh|bash|conf)|.*\.ya?ml|.*\.json)$")


def kind_of(text: str) -> FileKind | None:
    """The format of a text, by its marks; None where it has none of them."""
    head = text[:200_000]
    if SLURM.search(head):
        return "slurm"
    if SHEBANG.match(head):
        return "shell"
    if UNIT.search(head):
        return "systemd"
    if MANIFEST.search(head) and "apiVersion" in head:
        return "kubernetes"
    if COMPOSE.search(head):
        return "docker-compose"
    return None


def looks_like(name: str, text: str) -> bool:
    """Whether a file starts an engine or training: by its name's ending, its format and a program that it names."""
    if not NAMES.match(name[-200:]) or not STARTS.search(text[:1_000_000]):
        return False
    return kind_of(text) is not None or name.endswith((".sh", ".bash"))


def parse(text: str, label: str) -> Reading:
    """Read a file. Raises UnreadableInput when it is of no known kind, is cut off, or is a template.

    The findings hold what the file says by itself; `crosschecks` holds it against the site.
    """
    kind = kind_of(text)
    if kind is None and text.lstrip().startswith("{"):
        kind = "kubernetes"
    if kind == "kubernetes":
        reading = kubernetes.read(text, label)
    elif kind == "docker-compose":
        reading = compose.read(text, label)
    elif kind == "systemd":
        reading = systemd.read(text, label)
    elif kind in ("slurm", "shell") or (STARTS.search(text[:1_000_000]) and not label.endswith((".yaml", ".yml"))):
        reading = scripts.read(text, label, slurm=kind == "slurm")
    else:
        documents(text, label)  # says where a broken YAML is broken, and what a template is
        raise UnreadableInput(f"{label}: is none of {KINDS}")
    redact = Redactor()
    told = {finding.where for finding in reading.findings if finding.code == "secret-in-plain-text"}
    for line in lines_with_secrets(text):
        if f"{label}:{line}" not in told:
            jobs.report_secret("a token", line, reading)
    if reading.skipped:
        shown = ", ".join(reading.skipped[:10]) + (", …" if len(reading.skipped) > 10 else "")
        reading.find(
            "info",
            "deployment-job-skipped",
            redact(shown),
            1,
            "neither an engine that Ferry knows nor training: it is not counted as either",
            "none needed, unless one of them serves a model; then name its engine's own start",
        )
    if not reading.jobs:
        reading.find(
            "warning",
            "deployment-starts-nothing",
            "no engine and no training",
            1,
            "how the engine runs today does not follow from this file",
            "name the file with the engine's command line: vllm serve, sglang.launch_server, trtllm-serve, …",
        )
    reading.findings += [finding for job in reading.jobs for finding in checks.about_job(job)]
    return reading
