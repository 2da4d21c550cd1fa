"""What a job's flags mean for the move, what contradicts the site, and that no secret is ever shown."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ferry.artefacts import Finding
from ferry.assess import assess
from ferry.assess.deployments import parse
from ferry.assess.deployments.redaction import Redactor, is_plain, is_secret_name
from ferry.assess.text import describe

Edit = Callable[[Callable[[dict[str, Any]], object]], Path]
QUIET = "#!/bin/sh\npip install vllm==0.33.0\nvllm serve m --max-num-seqs 64 --host 127.0.0.1"


def findings(text: str, label: str = "run.sh") -> list[Finding]:
    return parse(text, label).findings


def codes(text: str) -> list[str]:
    return [finding.code for finding in findings(text)]


def test_a_job_without_fault_gives_no_finding() -> None:
    assert codes(QUIET) == []


@pytest.mark.parametrize(
    ("flags", "severity", "code", "seen"),
    [
        ("--enforce-eager", "warning", "eager-mode", "run: runs without CUDA graphs"),
        ("--trust-remote-code", "warning", "trust-remote-code", "run: runs code that comes with the model"),
        ("--host 0.0.0.0", "warning", "open-without-key", "run: listens on 0.0.0.0, asks for no key"),
        ("--gpu-memory-utilization 0.98", "warning", "gpu-memory-share", "run: 0.98 of each GPU's memory"),
        ("--gpu-memory-utilization 0.4", "info", "gpu-memory-share", "run: 0.4 of each GPU's memory"),
        ("--config c.yaml", "info", "deployment-file-not-read", "--config c.yaml"),
        ("-tp $TP", "warning", "deployment-value-unknown", "tensor parallel is '$TP'"),
        ("--gpu-memory-utilization 90", "warning", "deployment-value-unknown", "gpu memory share is '90'"),
    ],
)
def test_a_flag_that_matters_is_a_finding_at_its_line(flags: str, severity: str, code: str, seen: str) -> None:
    (finding,) = findings(f"{QUIET} \\\n  {flags}\n")
    assert (finding.severity, finding.code, finding.seen, finding.where) == (severity, code, seen, "run.sh:4")


def test_a_server_that_asks_for_a_key_is_not_open() -> None:
    assert codes(f"{QUIET} --host 0.0.0.0 --api-key $KEY\n") == []


def test_an_engine_that_must_not_run_is_named_with_what_happens_and_the_first_good_version() -> None:
    (found,) = findings(QUIET.replace("0.33.0", "0.11.0"))
    assert (found.severity, found.code) == ("warning", "engine-version-known-bad")
    assert "vllm 0.11.0 must not run: " in found.seen
    assert found.remedy.startswith("install vllm 0.24.0 or newer (https://")


def test_a_floating_image_and_an_unknown_batch_are_findings() -> None:
    text = "services:\n  a:\n    image: vllm/vllm-openai:latest\n    command: --model m\n"
    found = findings(text, "c.yaml")
    assert [(finding.severity, finding.code, finding.where) for finding in found] == [
        ("warning", "image-not-pinned", "c.yaml:3"),
        ("info", "batch-limit-unknown", "c.yaml:2"),
    ]


def test_more_ranks_than_gpus_are_a_finding_unless_they_share() -> None:
    heading = "#!/bin/sh\n#SBATCH --gpus-per-node=8\n"
    assert "more-ranks-than-gpus" in codes(f"{heading}sglang serve --model-path m --tp 8 --dp 2\n")
    shared = codes(f"{heading}sglang serve --model-path m --tp 8 --dp 8 --enable-dp-attention\n")
    assert "more-ranks-than-gpus" not in shared


SECRET = "Zq7Kx2Lm9Pw4Rt8Yv"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{QUIET} --api-key {SECRET}\n", 3),
        (f"{QUIET} --api-key={SECRET}\n", 3),
        (f"{QUIET} --hf-token {SECRET} --x y\n", 3),
        (f"#!/bin/sh\nMY_KEY={SECRET}\nvllm serve m --api-key $MY_KEY\n", 2),
        (f"#!/bin/sh\nexport HF_TOKEN={SECRET}\nvllm serve m\n", 2),
        (f"#!/bin/sh\ndocker run -e HF_TOKEN={SECRET} vllm/vllm-openai:v1.0.0 --model m\n", 2),
        (f"#!/bin/sh\nhuggingface-cli login --token hf_{SECRET}\nvllm serve m\n", 2),
        (f"services:\n  a:\n    image: redis\n    environment:\n      REDIS_PASSWORD: {SECRET}\n", 5),
        (f"services:\n  a:\n    image: vllm/vllm-openai\n    command: --model m --api-key {SECRET}\n", 4),
        (f"[Service]\nEnvironment=VLLM_API_KEY={SECRET}\nExecStart=vllm serve m\n", 2),
        (f"apiVersion: v1\nkind: Secret\nmetadata: {{name: hf}}\nstringData: {{token: {SECRET}}}\n", 1),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - image: vllm/vllm-openai\n"
            f"      env: [{{name: HF_TOKEN, value: {SECRET}}}]\n",
            7,
        ),
    ],
)
def test_a_secret_in_plain_text_is_critical_and_never_shown(text: str, line: int) -> None:
    reading = parse(text, "a")
    grave = [finding for finding in reading.findings if finding.severity == "critical"]
    assert {(finding.code, finding.where) for finding in grave} >= {("secret-in-plain-text", f"a:{line}")}
    shown = [*(finding.model_dump_json() for finding in reading.findings), *reading.skipped]
    shown += [job.model_dump_json() for job in reading.jobs]
    assert not any(SECRET in part for part in shown)


@pytest.mark.parametrize(
    "value", ["$KEY", "${KEY}", "$(cat key)", "{{ .Values.key }}", "<your token>", "EMPTY", "none", "your-api-key", ""]
)
def test_a_reference_to_a_secret_or_a_placeholder_is_none(value: str) -> None:
    assert not is_plain(value)


def test_a_key_is_hidden_however_short_it_is() -> None:
    (made,) = parse(f"{QUIET} --api-key abc --other x\n", "a").jobs
    assert (made.api_key, made.extra_flags) == (True, ["--api-key ***", "--other x"])


def test_a_secret_is_known_by_its_name() -> None:
    secret = [
        "--api-key",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "wandb_api_key",
        "PGPASSWORD-PASS",
    ]
    assert all(is_secret_name(name) for name in secret)
    plain = ["--max-total-tokens", "--tokenizer", "--ssl-keyfile", "MAX_TOKENS", "--max-num-batched-tokens", "MONKEY"]
    assert not any(is_secret_name(name) for name in plain)


def test_what_looks_like_a_secret_is_hidden_wherever_it_stands() -> None:
    redact = Redactor(["hunter2hunter2"])
    assert redact("--x hf_abcdefghijklmnop1 https://u:p@host/x hunter2hunter2") == "--x *** https://***@host/x ***"
    assert redact('{"api_key": "abc", "n": 1}') == '{"api_key": "***", "n": 1}'
    assert len(redact("x" * 10_000)) == 301


def service(command: str) -> str:
    return f"#!/bin/sh\npip install vllm==0.33.0 sglang==0.5.16\n{command}\n"


@pytest.fixture
def found(site: Path, change_site: Edit) -> Callable[[str], list[tuple[str, str, str]]]:
    """The findings of the example site about a script, as code, place, and what was seen."""

    def run(text: str) -> list[tuple[str, str, str]]:
        change_site(lambda document: document.update(deployments=["run.sh"]))
        (site.parent / "run.sh").write_text(text, encoding="utf-8")
        return [(item.code, item.where, item.seen) for item in assess(site).findings if item.where.startswith("run.sh")]

    return run


BASE = "vllm serve model --served-model-name assistant qwen2.5-7b-instruct --max-num-seqs 64 --host 127.0.0.1"


@pytest.mark.parametrize(
    ("command", "code", "seen"),
    [
        (
            "sglang serve --model-path /m/model --max-running-requests 64",
            "engine-contradicts",
            "run: starts sglang, site.yaml says vllm for assistant",
        ),
        (f"{BASE} --max-model-len 64K", "context-above-model", "run: context of 65536 tokens, the model has 32768"),
        (f"{BASE} -tp 16", "tensor-parallel-across-nodes", "run: tensor parallel 16, a server has 8 GPUs"),
        (
            "axolotl train a.yml",
            "training-not-in-site",
            "run: is training (axolotl)",
        ),
        (
            f"{BASE}\nvllm serve other --max-num-seqs 64 --host 127.0.0.1",
            "deployment-not-in-site",
            "run: serves other on vllm",
        ),
        (
            f"{BASE} -tp 8 -pp 4",
            "deployments-exceed-gpus",
            "run: with 0 other services it takes 32 GPUs, the cluster has 16",
        ),
    ],
)
def test_what_contradicts_the_site_is_a_finding(found: Any, command: str, code: str, seen: str) -> None:
    assert (code, "run.sh:" + ("4" if "other on" in seen else "3"), seen) in found(service(command))


def test_what_agrees_with_the_site_gives_no_finding_and_is_told_to_a_person(found: Any, site: Path) -> None:
    told = found(service(f"{BASE} -tp 4 --max-model-len 32768"))
    assert [item for item in told if item[0] != "served-name-contradicts"] == []
    shown = StringIO()
    Console(width=200, file=shown).print(describe(assess(site)))
    text = " ".join(shown.getvalue().split())
    assert "run, run.sh:3 1 × vllm 0.33.0, serves model, as assistant, qwen2.5-7b-instruct, tensor 4 parallel" in text


def test_a_training_job_that_the_site_knows_gives_no_finding(site: Path, change_site: Edit) -> None:
    change_site(lambda document: document.update(deployments=["finetune.sbatch"]))
    script = "#!/bin/sh\n#SBATCH --job-name=finetune\nsrun torchrun train.py\n"
    (site.parent / "finetune.sbatch").write_text(script, encoding="utf-8")
    made = assess(site)
    (job,) = made.deployments
    assert (job.role, job.name, job.where) == ("training", "finetune", "finetune.sbatch:3")
    assert [item.code for item in made.findings if item.where.startswith("finetune.sbatch")] == []
    assert "finetune.sbatch" in [source.path for source in made.made_from]
