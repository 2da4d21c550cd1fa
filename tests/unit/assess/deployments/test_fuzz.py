"""No damage of any file ends in a traceback, in a hang, or in a secret that is shown."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferry.assess.deployments import looks_like, parse
from ferry.assess.deployments.parse import kind_of
from ferry.assess.deployments.reading import Reading
from ferry.errors import FerryError

KEY = "Zq7Kx2Lm9Pw4Rt8Yv"
COMPOSE = f"""\
x-gpu: &gpu {{deploy: {{resources: {{reservations: {{devices: [{{count: 4}}]}}}}}}}}
services:
  chat:
    <<: *gpu
    image: vllm/vllm-openai:${{TAG:-v0.8.5}}
    command: ["--model", "m", "-tp", "4", "--max-model-len", "16k", "--api-key", "{KEY}"]
    environment: {{HF_TOKEN: {KEY}}}
    ports: ["8000:8000"]
"""
UNIT = f"""\
[Service]
Environment="OLLAMA_HOST=0.0.0.0:11434" OLLAMA_NUM_PARALLEL=4
Environment=API_KEY={KEY}
ExecStart=/bin/bash -c 'exec vllm serve m \\
  --max-num-seqs 64'
"""
MANIFEST = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: chat}}
spec:
  replicas: 2
  template:
    spec:
      containers:
        - image: vllm/vllm-openai:v0.9.1
          command: [sh, -c]
          args:
            - |
              exec vllm serve $(MODEL) --tensor-parallel-size 8
          env: [{{name: MODEL, value: m}}, {{name: HF_TOKEN, value: {KEY}}}]
          resources: {{limits: {{nvidia.com/gpu: 8}}}}
---
apiVersion: ray.io/v1
kind: RayService
metadata: {{name: r}}
spec:
  serveConfigV2: |
    applications:
      - args: {{llm_configs: [{{model_loading_config: {{model_id: q}}, engine_kwargs: {{tensor_parallel_size: 2}}}}]}}
"""
SCRIPT = f"""\
#!/bin/bash
#SBATCH --nodes=2 --gres=gpu:a100:8
ARGS=(--model "m"
  --tp 8)
export HF_TOKEN={KEY}
docker run --gpus '"device=0,1"' -p 8080:80 ghcr.io/huggingface/text-generation-inference:2.4 --num-shard 2
nohup python3 -m sglang.launch_server "${{ARGS[@]}}" ${{X:-a b}} $(cat f) > log 2>&1 &
cat <<E
text
E
srun torchrun --nproc_per_node 8 train.py
"""
SAMPLES = [COMPOSE, UNIT, MANIFEST, SCRIPT]
JUNK = st.sampled_from([
    "'", '"', "`", "$(", "${", "${A:-${A}}", "\\", "\\\n", "&a ", "*a", "<<: *gpu", "{{ .x }}", "!!python/object:os.x",
    "\x00", "\ud800", "\u2028", "\t", "- ", ": ", "[", "{", "}", "|", ">", "%", "@", "---\n", "...\n", "9" * 40, "-1",
    "--", "=", "<<E\n", ")", "(", "services:", "kind: List\nitems: [1]\n", "null", "~", "1e999", "２", "#", "\r", "\n",
]) | st.text(max_size=6)  # fmt: skip


def check(text: str, label: str = "job.yaml") -> Reading | None:
    looks_like(label, text)
    try:
        reading = parse(text, label)
    except FerryError as error:
        message = str(error)
        assert "\n" not in message
        assert KEY not in message
        return None
    for job in reading.jobs:
        assert KEY not in job.model_dump_json()
    for finding in reading.findings:
        assert "\n" not in finding.seen + finding.where
        assert KEY not in finding.seen + finding.where
    return reading


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.sampled_from(SAMPLES), data=st.data())
def test_any_cut_and_any_junk_is_a_reading_or_one_line(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        # The secret stays whole where it stands; half of it is no secret of anyone's.
        after = start + data.draw(st.sampled_from([0, 0, 1, 5, 40]))
        if KEY not in text[max(0, start - len(KEY)) : after + len(KEY)]:
            text = text[:start] + data.draw(JUNK) + text[after:]
    reading_or_line(text[: data.draw(st.sampled_from([len(text), len(text) // 2, 60]))])


def reading_or_line(text: str) -> None:
    """As `check`, without its look for the secret: what cut its name off made it any other word."""
    try:
        reading = parse(text, "job.yaml")
    except FerryError as error:
        shown = [str(error)]
    else:
        shown = [finding.seen + finding.where for finding in reading.findings]
        shown += [job.model_dump_json() for job in reading.jobs]
    assert not any("\n" in line for line in shown)


@settings(max_examples=120)
@given(
    text=st.sampled_from(SAMPLES),
    at=st.integers(0),
    bit=st.integers(0, 7),
    encoding=st.sampled_from(["utf-8", "utf-16", "latin-1"]),
)
def test_any_flipped_bit_in_any_encoding_is_a_reading_or_one_line(text: str, at: int, bit: int, encoding: str) -> None:
    content = bytearray(text.encode(encoding))
    content[at % len(content)] ^= 1 << bit
    reading_or_line(content.decode("utf-8", "replace"))


@settings(max_examples=60)
@given(parts=st.lists(st.sampled_from([line for text in SAMPLES for line in text.splitlines()]), max_size=14))
def test_any_lines_in_any_order_are_a_reading_or_one_line(parts: list[str]) -> None:
    reading_or_line("\n".join(parts))


@pytest.mark.parametrize("text", SAMPLES)
def test_the_samples_themselves_are_read_and_show_no_secret(text: str) -> None:
    reading = check(text)
    assert reading is not None
    assert reading.jobs
    assert "secret-in-plain-text" in [finding.code for finding in reading.findings]


def bombs() -> dict[str, str]:
    lol = "\n".join(
        ["a0: &a0 [x, x, x, x, x, x, x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    )
    keys = "\n".join(f"  k{n}: v" for n in range(2000))
    merges = "\n".join(f"  m{n}: {{<<: *all}}" for n in range(2000))
    return {
        "aliases": f"{lol}\nservices:\n  a: {{image: vllm/vllm-openai:v1.0, command: *a29}}\n",
        "merges": f"x: &all\n{keys}\nservices:\n{merges}\n  a: {{image: vllm}}\n",
        "recursion": "services: &a\n  b: {image: vllm/vllm-openai, deploy: *a}\n",
        "sequences": "services:\n  a: " + "[" * 100_000,
        "mappings": "services:\n  a: " + "{a: " * 100_000,
        "indents": "services:\n" + "".join(" " * n + "a:\n" for n in range(1, 2000)),
        "values": "services:\n  a: {image: vllm}\n  b: [" + "x," * 600_000 + "]\n",
        "doubling": "#!/bin/sh\nA=vllm\n" + "A=$A$A\n" * 60 + "vllm serve $A\n",
        "pasting": "#!/bin/sh\nA=" + "x" * 60_000 + "\nvllm serve" + " $A" * 10_000 + "\n",
        "defaults": "#!/bin/sh\nvllm serve " + "${A:-" * 20_000 + "}" * 20_000,
        "quotes": "#!/bin/sh\nvllm serve " + "\"'" * 200_000,
        "brackets": "#!/bin/sh\nvllm serve " + "$(" * 100_000,
        "documents": "#!/bin/sh\n" + "cat <<E\n" * 50_000 + "vllm serve m\n",
        "shells": "#!/bin/sh\n" + "sh -c '" * 1000 + "vllm serve m" + "'" * 1000,
        "long line": "#!/bin/sh\nvllm serve m " + "--a " * 250_000,
        "long word": "#!/bin/sh\nvllm serve " + "a" * 1_000_000,
        "escapes": "#!/bin/sh\nvllm serve " + "\\" * 900_001,
        "arrays": "#!/bin/sh\n" + "A=(" * 3000 + "vllm serve",
        "settings": "[Service]\n" + "Environment=A=1\n" * 40_000 + "ExecStart=vllm serve m\n",
        "continuations": "[Service]\nExecStart=vllm serve m " + "\\\n" * 200_000,
        "tokens": "#!/bin/sh\nvllm serve m --x " + "eyJ" * 300_000,
        "secrets": "[Service]\n"
        + "".join(f"Environment=A{n}_TOKEN={KEY}\n" for n in range(3000))
        + "ExecStart=vllm serve m\n",
        "images": "services:\n  a: {image: " + "vllm/" * 200_000 + "}\n",
    }


@pytest.mark.parametrize("name", bombs())
def test_no_bomb_takes_more_than_a_moment(name: str) -> None:
    before = time.monotonic()
    check(bombs()[name])
    assert time.monotonic() - before < 60


def test_what_is_larger_than_any_such_file_is_refused_at_once() -> None:
    for text in ("services:\n  a: {image: vllm}\n" + "#" * 2**22, "#!/bin/sh\nvllm serve m\n" + "#" * 2**20):
        with pytest.raises(FerryError, match="MiB; give the part with the job"):
            parse(text, "x")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("merges", "merges more than 100000 keys"),
        ("sequences", "is nested deeper than 60 levels"),
        ("values", "has more than 500000 values"),
        ("pasting", "its variables expand to more than any command line holds"),
        ("secrets", "gives more than 1000 findings"),
    ],
)
def test_each_limit_says_what_it_is(name: str, says: str) -> None:
    with pytest.raises(FerryError, match=says):
        parse(bombs()[name], "x")


@settings(max_examples=60)
@given(text=st.text(max_size=200))
def test_any_text_is_a_reading_or_one_line(text: str) -> None:
    kind_of(text)
    check(text)
    check(text, "run.sh")
