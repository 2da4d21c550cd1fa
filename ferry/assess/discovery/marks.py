"""What each kind of file is told by before its reader is tried: words and patterns, and nothing of its name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ferry.assess.discovery.sample import Sample
from ferry.assess.prometheus import exposition


@dataclass(frozen=True)
class Marks:
    """What a kind is told by: one of the words, and where there is a pattern, that too. Words cost next to nothing."""

    words: tuple[str, ...]
    pattern: re.Pattern[str] | None = None

    def are_in(self, sample: Sample) -> bool:
        """Whether a text has them."""
        if sample.is_binary or not any(word in sample.ends for word in self.words):
            return False
        return self.pattern is None or bool(self.pattern.search(sample.ends))


SITE = Marks(("ferry/site/",), re.compile(r"^[\"']?schema[\"']?\s*:\s*[\"']?ferry/site/", re.MULTILINE))
NCCL = Marks(
    (
        "nThread",
        "busbw",
        "Avg bus",
        "_perf",
        "NCCL ",
        "size(B)",
        " failure",
        "nccom-test -",
        "neuron-bench",
        "bus_bandw",
    ),
    re.compile(
        r"\bnThread|\balgbw\b.*\bbusbw\b|Avg bus bandwidth|[a-z]_perf\w*: |\bNCCL (?:INFO|WARN)\b|size\(B\)|"
        r"(?:NCCL|CUDA|Cuda) failure|\bnccom-test -|neuron-bench|\"average_bus_bandwidth\""
    ),
)
GPUS = Marks(
    (
        "NVIDIA", "NVSMI", "nvidia_smi_log", "GPU", "gpu", "NVML", "DRIVER version", "CUDA version", '"card', "Tesla ",
        "GeForce ", "Quadro ", "System Management Interface", "-smi", "o devices were found",
    ),
    re.compile(
        r"\bNVIDIA-SMI +(?:[0-9]|version)|NVSMI LOG|<nvidia_smi_log|\bGPU [0-9A-F]{4,8}:|\(UUID: GPU-|"
        r"\bGPU-[0-9a-f]{8}-|^\W{0,9}GPU0\b|^# *(?:gpu|Date +Time +gpu)\b|(?:NVML|DRIVER|CUDA) version +:|"
        r"\"card[0-9]+\"|\"gpu_data\"|\"gpu\" *: *[0-9]|^(?:NVIDIA|Tesla|GeForce|Quadro) [\w ().-]+,|"
        r"System Management Interface|nvidia-smi (?:has failed|couldn't find)|failed to initialize nvml|"
        r"no devices were found|unable to determine the device handle|-smi: (?:command )?not found",
        re.MULTILINE | re.IGNORECASE,
    ),
)  # fmt: skip
HEADING_WITHIN = 20
"""Lines in which a heading of nvidia-smi's CSV is looked for."""
PAGE = Marks(
    (
        "# HELP ", "# TYPE ", "# UNIT ", "vllm", "sglang", "tgi_", "nv_", "trtllm_", "ollama_", "DCGM_FI_", "dcgm_",
        "nvidia_smi_", "node_", "scrape_configs:", "rule_files:", "groups:",
    ),
    re.compile(
        rf"^\s*(?:# (?:HELP|TYPE|UNIT) |(?:{exposition.KNOWN.pattern})[\w:]*(?:\{{| [+-]?[0-9]))|"
        r"^(?:scrape_configs|rule_files|groups):|\b(?:vllm|sglang):[a-z_]{3}|\bDCGM_FI_[A-Z]|"
        r"\bollama_\w+_(?:total|seconds)\b",
        re.MULTILINE,
    ),
)  # fmt: skip
ANSWER = Marks(
    ('"resultType"', '"activeTargets"', '"__name__"', '"status"', '"frames"', '"errorType"'),
    re.compile(r'"(?:resultType|activeTargets|__name__|errorType)"|"status"\s*:\s*"(?:success|error)"|"frames"\s*:'),
)
MODEL_JSON = Marks(('"model_type"', '"architectures"', '"weight_map"', '"mediaType"', '"vocab_size"'))
MODEL_TEXT = Marks(
    ("git-lfs.github.com", "filter=lfs", ".safetensors", ".gguf"),
    re.compile(
        r"^(?:[0-9 ]*-[rwxsStT-]{9}.*|\s*[0-9][0-9.,]*[KMGTP]?i?B?\s+\S.*)\.(?:safetensors|gguf)\b|filter=lfs|"
        r"^version https://git-lfs",
        re.MULTILINE,
    ),
)
PYTHON = re.compile(r"#!.*python")
TENSORS = re.compile(rb".{6}\0\0\s*\{", re.DOTALL)
