"""The same engine out of each format: exact values, and the line on which each stands."""

from __future__ import annotations

import pytest

from ferry.assess.deployments import combine, looks_like, parse
from ferry.assess.deployments.parse import kind_of
from ferry.errors import UnreadableInput

COMPOSE = """\
version: "3.8"
x-gpus: &gpus
  deploy: {resources: {reservations: {devices: [{driver: nvidia, device_ids: ["0", "1"], capabilities: [gpu]}]}}}
services:
  chat:
    <<: *gpus
    image: vllm/vllm-openai:${TAG:-v0.8.5}
    command: >
      --model ${MODEL:?set it} --tensor-parallel-size ${TP:-2}
      --max-num-seqs $SEQS
    ports: ["127.0.0.1:8000:8000"]
  tgi:
    image: ghcr.io/huggingface/text-generation-inference:2.4.0
    environment: [MODEL_ID=x/y, "NUM_SHARD=4"]
    deploy: {replicas: 2}
  sg:
    image: lmsysorg/sglang:v0.4.7
    entrypoint: python3 -m sglang.launch_server
    command: ["--model-path", "m", "--tp", "8"]
  both:
    image: ubuntu
    command: ["bash", "-c", "source /venv/bin/activate && exec vllm serve a --port $$PORT"]
  redis: {image: "redis:7"}
"""


def test_a_compose_file_with_anchors_defaults_and_all_spellings_of_a_command() -> None:
    reading = parse(COMPOSE, "compose.yaml")
    chat, tgi, sg, both = reading.jobs
    assert (reading.kind, reading.skipped) == ("docker-compose", ["redis (redis:7)"])
    assert (chat.name, chat.line, chat.version, chat.model) == ("chat", 5, "0.8.5", "${MODEL}")
    assert (chat.tensor_parallel, chat.lines["tensor_parallel"], chat.gpus) == (2, 9, 2)
    assert (chat.max_sequences, chat.port, chat.published) == (None, 8000, False)
    assert (tgi.engine, tgi.model, tgi.tensor_parallel, tgi.replicas) == ("tgi", "x/y", 4, 2)
    assert tgi.lines["model"] == 14
    assert (sg.engine, sg.version, sg.tensor_parallel) == ("sglang", "0.4.7", 8)
    assert (both.engine, both.model, both.port) == ("vllm", "a", None)
    unknown = [(item.seen, item.where) for item in reading.findings if item.code == "deployment-value-unknown"]
    # A folded block (`>`) is one line by the time that it is text: its first one is named.
    assert ("max sequences is '$SEQS'", "compose.yaml:9") in unknown


def test_a_compose_file_of_version_1_has_its_services_at_the_top() -> None:
    (made,) = parse("llm:\n  image: vllm/vllm-openai:v0.6.0\n  command: --model m\n", "docker-compose.yml").jobs
    assert (made.name, made.engine, made.model) == ("llm", "vllm", "m")


UNIT = """\
[Unit]
Description=vLLM
[Service]
Environment="MODEL=/models/a b" TP=4
EnvironmentFile=-/etc/default/vllm
ExecStartPre=/bin/sleep 5
ExecStart=/opt/venv/bin/vllm serve ${MODEL} \\
  # a comment between
  --tensor-parallel-size $TP \\
  --max-num-seqs 64
[Install]
WantedBy=multi-user.target
"""


def test_a_unit_with_continuation_and_environment() -> None:
    reading = parse(UNIT, "etc/vllm-chat.service")
    (made,) = reading.jobs
    assert (made.name, made.line, made.model, made.tensor_parallel, made.max_sequences) == (
        "vllm-chat", 7, "/models/a b", 4, 64,
    )  # fmt: skip
    assert made.lines["max_sequences"] == 10
    assert ("deployment-file-not-read", "etc/vllm-chat.service:5") in [(f.code, f.where) for f in reading.findings]


def test_a_drop_in_holds_over_its_unit() -> None:
    unit = parse("[Service]\nExecStart=/usr/bin/ollama serve\nEnvironment=OLLAMA_NUM_PARALLEL=2\n", "ollama.service")
    drop_in = parse("[Service]\nEnvironment=OLLAMA_NUM_PARALLEL=8\n", "ollama.service.d/override.conf")
    (made,) = combine([*unit.jobs, *drop_in.jobs])
    assert (made.file, made.engine, made.max_sequences) == ("ollama.service", "ollama", 8)


def test_an_empty_exec_start_takes_back_the_one_before() -> None:
    text = "[Service]\nExecStart=vllm serve a\n# override.conf\n[Service]\nExecStart=\nExecStart=vllm serve b\n"
    assert [made.model for made in parse(text, "v.service").jobs] == ["b"]


MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: chat
spec:
  replicas: 3
  template:
    spec:
      containers:
        - name: proxy
          image: envoyproxy/envoy:v1.30
        - name: engine
          image: vllm/vllm-openai:v0.9.1
          command: ["/bin/sh", "-c"]
          args:
            - |
              set -e
              exec vllm serve $(MODEL) \\
                --tensor-parallel-size 4
          env:
            - {name: MODEL, value: /models/m}
            - name: HF_TOKEN
              valueFrom: {secretKeyRef: {name: hf, key: token}}
          ports: [{containerPort: 8000}]
          resources: {limits: {nvidia.com/gpu: "4"}}
"""


def test_a_workload_of_kubernetes_with_a_shell_and_a_sidecar() -> None:
    reading = parse(MANIFEST, "chat.yaml")
    (made,) = reading.jobs
    assert (made.name, made.resource, made.line, made.replicas, made.gpus) == ("chat", "StatefulSet", 8, 3, 4)
    assert (made.model, made.tensor_parallel, made.lines["tensor_parallel"], made.port) == ("/models/m", 4, 23, 8000)
    assert reading.skipped == []
    assert "secret-in-plain-text" not in [finding.code for finding in reading.findings]


OPERATORS = """\
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: big}
spec:
  replicas: 1
  leaderWorkerTemplate:
    size: 2
    leaderTemplate:
      spec:
        containers:
          - image: vllm/vllm-openai:v0.8.5
            command: [sh, -c, "bash /vllm/multi-node-serving.sh leader; vllm serve m -tp 8 -pp 2"]
            resources: {limits: {nvidia.com/gpu: 8}}
---
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: llama}
spec:
  predictor:
    minReplicas: 2
    model:
      modelFormat: {name: huggingface}
      args: [--model_name=llama3, --model_id=meta/llama, --max-model-len=8192]
      resources: {limits: {nvidia.com/gpu: 1}}
---
apiVersion: kubeai.org/v1
kind: Model
metadata: {name: qwen}
spec: {url: "hf://Qwen/Qwen3-8B", engine: VLLM, args: [--max-num-seqs=64], resourceProfile: "nvidia-gpu-h100:2"}
---
apiVersion: ray.io/v1
kind: RayService
metadata: {name: ray}
spec:
  serveConfigV2: |
    applications:
      - args:
          llm_configs:
            - model_loading_config: {model_id: q, model_source: Qwen/Qwen2.5-7B}
              deployment_config: {autoscaling_config: {min_replicas: 2}}
              engine_kwargs: {tensor_parallel_size: 2, max_model_len: 4096, enforce_eager: true}
---
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: finetune}
spec:
  pytorchReplicaSpecs:
    Master:
      template: {spec: {containers: [{image: train:1, resources: &all {limits: {nvidia.com/gpu: 8}}}]}}
    Worker:
      replicas: 3
      template: {spec: {containers: [{image: train:1, resources: *all}]}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  jobTemplate: {spec: {template: {spec: {containers: [{image: a, command: [torchrun, --nproc-per-node=4, train.py]}]}}}}
"""


def test_the_workloads_of_operators() -> None:
    big, llama, qwen, ray, finetune, nightly = parse(OPERATORS, "all.yaml").jobs
    assert (big.resource, big.tensor_parallel, big.pipeline_parallel, big.nodes, big.gpus) == (
        "LeaderWorkerSet",
        8,
        2,
        2,
        8,
    )
    assert (llama.engine, llama.model, llama.served_names, llama.context_tokens) == (
        "vllm",
        "meta/llama",
        ["llama3"],
        8192,
    )
    assert (llama.replicas, llama.gpus) == (2, 1)
    assert (qwen.engine, qwen.model, qwen.max_sequences, qwen.gpus) == ("vllm", "Qwen/Qwen3-8B", 64, 2)
    assert (ray.model, ray.served_names, ray.tensor_parallel, ray.replicas) == ("Qwen/Qwen2.5-7B", ["q"], 2, 2)
    assert (ray.context_tokens, ray.eager, ray.lines["context_tokens"]) == (4096, True, 41)
    assert (finetune.role, finetune.launcher, finetune.nodes, finetune.gpus) == ("training", "torchrun", 4, 8)
    assert (nightly.role, nightly.resource, nightly.gpus) == ("training", "CronJob", 4)


def test_a_template_of_helm_is_refused_with_the_way_out_and_a_rendered_one_is_read() -> None:
    template = MANIFEST.replace("replicas: 3", "{{- if .Values.x }}\n  replicas: {{ .Values.replicas }}\n  {{- end }}")
    with pytest.raises(UnreadableInput, match=r"^t\.yaml: is a template of Helm or Jinja; .*helm template"):
        parse(template, "t.yaml")
    quoted = MANIFEST.replace("vllm/vllm-openai:v0.9.1", '"vllm/vllm-openai:{{ .Values.tag }}"')
    (made,) = parse(quoted, "t.yaml").jobs
    assert (made.engine, made.version) == ("vllm", None)


SBATCH = """\
#!/bin/bash
#SBATCH --job-name=sft
#SBATCH -N 2
#SBATCH --gres=gpu:a100:8
#SBATCH --ntasks-per-node=1
module load cuda
export NCCL_DEBUG=INFO
srun --container-image=nvcr.io#nvidia/pytorch:24.07 bash -c "torchrun --nnodes $SLURM_NNODES --nproc_per_node 8 \\
  train.py --x 1"
"""


def test_a_batch_script_of_slurm() -> None:
    (made,) = parse(SBATCH, "jobs/sft.sbatch").jobs
    assert (made.kind, made.name, made.line, made.role, made.launcher) == ("slurm", "sft", 8, "training", "torchrun")
    assert (made.nodes, made.gpus, made.extra_flags) == (2, 8, ["--x 1"])


@pytest.mark.parametrize(
    ("options", "gpus", "nodes"),
    [
        ("--nodes=4 --gpus-per-node=8", 8, 4),
        ("--nodes 2 --gpus=16", 8, 2),
        ("-G a100:4", 4, None),
        ("--gres=gpu:2,nvme:1", 2, None),
        ("--gres=gpu", 1, None),
        ("--gpus-per-task=1 --ntasks-per-node=8", 8, None),
        ("--partition=gpu", None, None),
    ],
)
def test_the_gpus_of_a_node_are_told_in_many_ways(options: str, gpus: int | None, nodes: int | None) -> None:
    lines = "".join(f"#SBATCH {option}\n" for option in options.replace(" 2", "=2").replace("-G ", "-G=").split())
    (made,) = parse(f"#!/bin/sh\n{lines.replace('-G=', '-G ')}vllm serve m\n", "a.slurm").jobs
    assert (made.gpus, made.nodes) == (gpus, nodes)


SCRIPT = """\
#!/usr/bin/env bash
set -euo pipefail
MODEL="${MODEL:-/models/my model}"   # the folder
ARGS=(
  --model-path "$MODEL"
  --tp 8 # GPUs
)
OTHER="--max-running-requests 64"
if [ -d /x ]; then
  CUDA_VISIBLE_DEVICES=0,1,2,3 nohup numactl -N 0 python3 -m sglang.launch_server "${ARGS[@]}" $OTHER > log 2>&1 &
fi
docker run -d --gpus '"device=4,5"' --name tgi -p 8080:80 -e HF_TOKEN -v "$HOME":/d \\
  ghcr.io/huggingface/text-generation-inference:2.4.0 --model-id x --num-shard 2
docker run --rm --gpus all --ipc=host --entrypoint bash vllm/vllm-openai:v0.8.5 -c 'vllm serve m -tp 2'
sudo docker run --network host vllm/vllm-openai:v0.9.0 --model n
"""


def test_a_shell_script_with_arrays_variables_and_containers() -> None:
    sg, tgi, inner, host = parse(SCRIPT, "start.sh").jobs
    assert (sg.line, sg.model, sg.tensor_parallel, sg.max_sequences, sg.gpus) == (10, "/models/my model", 8, 64, 4)
    assert sg.lines["tensor_parallel"] == 10
    assert (tgi.name, tgi.version, tgi.tensor_parallel, tgi.gpus, tgi.port, tgi.published) == (
        "tgi", "2.4.0", 2, 2, 8080, True,
    )  # fmt: skip
    assert tgi.lines["tensor_parallel"] == 13
    assert (inner.engine, inner.version, inner.model, inner.tensor_parallel) == ("vllm", "0.8.5", "m", 2)
    assert (host.version, host.model, host.published) == ("0.9.0", "n", True)


@pytest.mark.parametrize(
    ("name", "text", "kind", "starts"),
    [
        ("compose.yaml", COMPOSE, "docker-compose", True),
        ("a.yml", MANIFEST, "kubernetes", True),
        ("vllm.service", UNIT, "systemd", True),
        ("a.sbatch", SBATCH, "slurm", True),
        ("a.sh", SCRIPT, "shell", True),
        ("a.txt", SCRIPT, "shell", False),
        ("redis.yaml", "services: {redis: {image: 'redis:7'}}\n", "docker-compose", False),
        ("a.yaml", "vllm: yes\n", None, False),
        ("values.yaml", "image: vllm/vllm-openai\n", None, False),
    ],
)
def test_the_format_is_told_by_the_content(name: str, text: str, kind: str | None, starts: bool) -> None:
    assert (kind_of(text), looks_like(name, text)) == (kind, starts)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello\n", "a.yaml: is none of a docker-compose file, a systemd unit"),
        ("services:\n  a: {image: [\n", "a.yaml:3: is not YAML: "),
        ("services:\n  a: {image: *secret123}\n", "a.yaml:2: names an anchor that is not defined before it"),
        ("#!/bin/sh\nvllm serve 'm\n", "a.yaml:2: a quote is opened here and never closed; the file is cut"),
        ("#!/bin/sh\nA=(1 2\nvllm serve m\n", "a.yaml:2: a bracket is opened here"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_line(text: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        parse(text, "a.yaml")
    assert str(refused.value).startswith(says)
    assert "secret123" not in str(refused.value)


LLM_SERVICE = """\
apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceService
metadata: {name: deepseek}
spec:
  model: {uri: "hf://deepseek-ai/DeepSeek-R1", name: r1}
  replicas: 2
  parallelism: {data: 32, expert: true, tensor: 1}
  template:
    containers:
      - name: main
        image: ghcr.io/llm-d/llm-d-cuda:v0.9.0
        env: [{name: VLLM_ADDITIONAL_ARGS, value: "--max-model-len 8192 --gpu-memory-utilization 0.95"}]
        resources: {limits: {nvidia.com/gpu: "8"}}
  prefill:
    replicas: 3
    template: {containers: [{name: main, resources: {limits: {nvidia.com/gpu: "4"}}}]}
"""


def test_a_service_of_kserve_for_language_models_is_vllm_in_both_its_pools() -> None:
    decode, prefill = parse(LLM_SERVICE, "llm.yaml").jobs
    assert (decode.engine, decode.model, decode.served_names) == ("vllm", "deepseek-ai/DeepSeek-R1", ["r1"])
    assert (decode.replicas, decode.data_parallel, decode.tensor_parallel, decode.gpus) == (2, 32, 1, 8)
    assert (decode.context_tokens, decode.gpu_memory_share) == (8192, 0.95)
    assert (prefill.engine, prefill.replicas, prefill.gpus) == ("vllm", 3, 4)
    bare = LLM_SERVICE[: LLM_SERVICE.index("  template:")]
    assert [job.model for job in parse(bare, "llm.yaml").jobs] == ["deepseek-ai/DeepSeek-R1"]


OPERATOR = """\
apiVersion: orchestration.aibrix.ai/v1alpha1
kind: StormService
metadata: {name: qwen}
spec:
  replicas: 1
  template:
    spec:
      roles:
        - name: prefill
          replicas: 4
          template:
            spec:
              containers:
                - {name: p, image: "vllm/vllm-openai:v0.22.0", args: [--model, m, --max-model-len, "16384"]}
        - name: decode
          template:
            spec:
              containers:
                - {name: d, image: "vllm/vllm-openai:v0.22.0", command: [vllm, serve, m]}
"""


def test_a_pod_inside_a_kind_that_is_not_known_is_read() -> None:
    prefill, decode = parse(OPERATOR, "storm.yaml").jobs
    assert (prefill.engine, prefill.resource, prefill.replicas, prefill.context_tokens) == (
        "vllm", "StormService", 4, 16384,
    )  # fmt: skip
    assert (decode.model, decode.replicas) == ("m", 1)
    assert parse(OPERATOR.replace("StormService", "ClusterServingRuntime"), "runtime.yaml").jobs == []
    assert parse(OPERATOR.replace("StormService", "ConfigMap").replace("containers:", "boxes:"), "c.yaml").jobs == []


WRAPPED = """\
services:
  chat:
    image: vllm/vllm-openai:v0.27.1
    entrypoint:
      - /bin/bash
      - -c
      - |
        source /etc/links.sh
        exec vllm serve --disable-custom-all-reduce "$$@"
      - --
    command: [--model, /models/a, --tensor-parallel-size, "2", --max-model-len, "8192"]
"""


@pytest.mark.parametrize("mark", ["$$@", "$@"])
def test_a_script_that_hands_its_arguments_on_has_those_of_the_command(mark: str) -> None:
    (made,) = parse(WRAPPED.replace("$$@", mark), "compose.yaml").jobs
    assert (made.engine, made.model, made.tensor_parallel, made.context_tokens) == ("vllm", "/models/a", 2, 8192)
    assert made.extra_flags == ["--disable-custom-all-reduce"]


def test_a_model_whose_variables_are_empty_unless_somebody_sets_them_is_unknown() -> None:
    text = '#!/bin/bash\nDIR="${DIR:-}"\nNAME="${NAME:-}"\nvllm serve "$DIR/$NAME" --max-num-seqs 4\n'
    reading = parse(text, "start.sh")
    (made,) = reading.jobs
    assert (made.model, made.max_sequences) == (None, 4)
    assert [item.seen for item in reading.findings if item.code == "deployment-value-unknown"] == ["model is '/'"]
