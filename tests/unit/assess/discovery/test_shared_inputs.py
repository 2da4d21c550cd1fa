"""Every file of ../shared/inputs is listed once, as what it is or with the reason why it is not used."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry.assess.discovery import discover

pytestmark = pytest.mark.shared

NCCL, LOGS = "collectives' log", "cluster.nccl_tests"
GPUS, STATE = "GPUs' state", "cluster.nvidia_smi"
NAMED = "named in site.yaml"
UNKNOWN = "is of no kind that Ferry reads"
MODEL = "is a model, and no service is named like it"
# What it is, what it says, where it goes. site-a/site.yaml is the base, and has a service `chat` on vLLM.
USED = {
    "nccl/abci_v208_allreduce_16node_errcol.nccl": (NCCL, "all_reduce, 128 ranks on 16 nodes", LOGS),
    "nccl/abci_v208_allreduce_4gpu_errcol.nccl": (NCCL, "all_reduce, 4 ranks on 1 node", LOGS),
    "nccl/aws_adt_k8s_mpijob_1_0_prefix.txt": (NCCL, "all_reduce, 16 ranks", LOGS),
    "nccl/aws_topology_aware_summary.txt": (NCCL, "all_reduce, 128 ranks", LOGS),
    "nccl/coreweave_a100_infiniband.txt": (NCCL, "all_reduce, 96 ranks", NAMED),
    "nccl/coreweave_gb200_nvl72_rack.txt": (NCCL, "all_reduce, 72 ranks", LOGS),
    "nccl/coreweave_third.txt": (NCCL, "all_reduce, 1440 ranks", LOGS),
    "nccl/dstack_gcp_a3high_hash_stripped.txt": (NCCL, "nccl-tests, 16 ranks", LOGS),
    "nccl/dstack_gcp_a3mega_hash_stripped.txt": (NCCL, "nccl-tests, 16 ranks", LOGS),
    "nccl/dstack_lambda_v2176.txt": (NCCL, "all_reduce, 16 ranks", LOGS),
    "nccl/eunomia_truncated_rows.md": (NCCL, "nccl-tests", LOGS),
    "nccl/eunomia_v218_allgather_tagoutput.txt": (NCCL, "all_gather, 2 ranks on 1 node", LOGS),
    "nccl/rccl_pr2078_tail_asterisk_note.txt": (NCCL, "all_reduce, 16 ranks", LOGS),
    "nccl/superbench_nccl_allreduce.log": (NCCL, "all_reduce, 8 ranks on 1 node", NAMED),
    "nccl/superbench_nccl_reduce.log": (NCCL, "reduce, 8 ranks on 1 node", LOGS),
    "nccl/ztan_a3mega_2node_h100.markdown": (NCCL, "all_reduce, 16 ranks on 2 nodes", LOGS),
    "nvidia-smi/autodl_plain_2080ti.txt": (GPUS, "nvidia-smi: 2 × NVIDIA GeForce RTX 2080 Ti", STATE),
    "nvidia-smi/gpud_nvlink_status_a100.txt": (
        GPUS,
        "nvidia-smi -L, nvidia-smi nvlink: 8 × NVIDIA A100-SXM4-80GB",
        STATE,
    ),
    "nvidia-smi/h100_L.txt": (GPUS, "nvidia-smi -L: 1 × NVIDIA H100 80GB HBM3", STATE),
    "nvidia-smi/h100_load_compute-apps.csv": (
        GPUS,
        "nvidia-smi --query-compute-apps: 1 × NVIDIA H100 80GB HBM3",
        STATE,
    ),
    "nvidia-smi/h100_load_dmon.txt": (GPUS, "nvidia-smi dmon", STATE),
    "nvidia-smi/h100_load_q.txt": (GPUS, "nvidia-smi -q: 1 × NVIDIA H100 80GB HBM3", STATE),
    "nvidia-smi/h100_load_query-gpu.csv": (GPUS, "nvidia-smi --query-gpu: 1 × NVIDIA H100 80GB HBM3", NAMED),
    "nvidia-smi/h100_load_table.txt": (GPUS, "nvidia-smi: 1 × NVIDIA H100 80GB HBM3", STATE),
    "nvidia-smi/h100_nvlink-s.txt": (GPUS, "nvidia-smi -L, nvidia-smi nvlink: 1 × NVIDIA H100 80GB HBM3", STATE),
    "nvidia-smi/h100_topo-m.txt": (GPUS, "nvidia-smi topo -m", STATE),
    "nvidia-smi/h100_version.txt": (GPUS, "nvidia-smi --version", STATE),
    "nvidia-smi/h100mig_L.txt": (GPUS, "nvidia-smi -L: 1 × NVIDIA H100 80GB HBM3", STATE),
    "nvidia-smi/h100mig_idle_q.txt": (GPUS, "nvidia-smi -q: 1 × NVIDIA H100 80GB HBM3", STATE),
    "nvidia-smi/h100mig_load_query-gpu.csv": (GPUS, "nvidia-smi --query-gpu: 1 × NVIDIA H100 80GB HBM3", STATE),
    "nvidia-smi/h100mig_load_table.txt": (GPUS, "nvidia-smi: 1 × NVIDIA H100 80GB HBM3", STATE),
    "nvidia-smi/h100mig_nvlink-s.txt": (GPUS, "nvidia-smi -L, nvidia-smi nvlink: 1 × NVIDIA H100 80GB HBM3", STATE),
    "nvidia-smi/h200_idle_q.txt": (GPUS, "nvidia-smi -q: 1 × NVIDIA H200", STATE),
    "nvidia-smi/h200_idle_query-gpu.csv": (GPUS, "nvidia-smi --query-gpu: 1 × NVIDIA H200", STATE),
    "nvidia-smi/l40s_idle_dmon.txt": (GPUS, "nvidia-smi dmon", STATE),
    "nvidia-smi/l40s_topo-m.txt": (GPUS, "nvidia-smi topo -m", STATE),
    "nvidia-smi/rocm_mi100_rocm571.json": (GPUS, "rocm-smi: 6 × Arcturus GL-XL [Instinct MI100]", STATE),
    "nvidia-smi/rocm_vega20.json": (GPUS, "rocm-smi: 1 × Radeon Instinct MI50 32GB", STATE),
    "nvidia-smi/rtx4080s_load_q.txt": (GPUS, "nvidia-smi -q: 1 × NVIDIA GeForce RTX 4080 SUPER", STATE),
    "nvidia-smi/rtx4080s_load_table.txt": (GPUS, "nvidia-smi: 1 × NVIDIA GeForce RTX 4080 ...", STATE),
    "nvidia-smi/stas_nvlink_e_status.txt": (GPUS, "nvidia-smi -L, nvidia-smi nvlink: 1 × NVIDIA H100 80GB HBM3", STATE),
    "nvidia-smi/stas_topo_m_2gpu_nv2_phb.txt": (GPUS, "nvidia-smi topo -m", STATE),
    "nvidia-smi/stas_topo_m_a100_h100_realigned.txt": (GPUS, "nvidia-smi topo -m", STATE),
    "nvidia-smi/telegraf_a100-sxm4-v12_qx.xml": (GPUS, "nvidia-smi -q -x: 1 × NVIDIA A100-SXM4-80GB", STATE),
    "nvidia-smi/telegraf_tesla-t4_v11_qx.xml": (GPUS, "nvidia-smi -q -x: 1 × Tesla T4", STATE),
    "prometheus/aicr_dcgm_8xH100_dynamo_head.txt": ("metrics", "8 GPUs, 0 servers", "cluster.metrics"),
    "prometheus/aicr_prom_vector_fb_used.json": ("metrics", "16 GPUs, 0 servers", "cluster.metrics"),
    "prometheus/aicr_prom_vector_third.json": ("metrics", "16 GPUs, 0 servers", "cluster.metrics"),
    "prometheus/captured_qi_range_vector_matrix.json": (
        "metrics",
        "vllm: Qwen/Qwen2.5-0.5B-Instruct, neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8, other/OTHER",
        "serving[chat].metrics, serving[qwen2-5-0-5b-instruct].metrics",
    ),
    "prometheus/captured_qr_gpu_util_matrix.json": ("metrics", "1 GPU, 0 servers", "cluster.metrics"),
    "prometheus/dcgm_readme_sentinel.txt": ("metrics", "1 GPU, 0 servers", "cluster.metrics"),
    "prometheus/kops_dcgm_metrics.txt": ("metrics", "1 GPU, 0 servers", "cluster.metrics"),
    "prometheus/node_exporter_e2e-output.txt": ("metrics", "0 GPUs, 1 server", "cluster.metrics"),
    "prometheus/nvidia_gpu_exporter_h100_load.metrics": ("metrics", "1 GPU, 0 servers", "cluster.metrics"),
    "prometheus/sglang_v04_router_test_metrics.txt": (
        "metrics",
        "sglang: meta-llama/Llama-3.1-8B-Instruct",
        "serving[llama-3-1-8b-instruct].metrics",
    ),
    "prometheus/triton_docs_queue_summary.txt": ("metrics", "triton: my_model", "serving[my-model].metrics"),
    "prometheus/triton_trtllm_backend_metrics.txt": (
        "metrics",
        "triton: tensorrt_llm",
        "serving[tensorrt-llm].metrics",
    ),
    "prometheus/triton_trtllm_nv_inference_metrics.txt": (
        "metrics",
        "triton: tensorrt_llm",
        "serving[tensorrt-llm].metrics",
    ),
    "prometheus/upcloud_prom_vector_oneline.json": ("metrics", "1 GPU, 0 servers", "cluster.metrics"),
    "prometheus/vllm_v06_kubeai_metrics.txt": (
        "metrics",
        "vllm: neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8, other/OTHER",
        NAMED,
    ),
    "prometheus/vllm_v07_aibrix_indented.rst": (
        "metrics",
        "vllm: Qwen/Qwen2.5-Coder-1.5B-Instruct",
        "serving[qwen2-5-coder-1-5b-instruct].metrics",
    ),
    "request-logs/ollama_gin_minutes_13552.log": ("requests", "ollama", "serving[ollama].requests"),
    "request-logs/tgi_success_lines.log": ("requests", "tgi", "serving[tgi].requests"),
    "site-a/model": ("model", "Qwen2ForCausalLM", NAMED),
    "site-a/site.yaml": ("site.yaml (ferry/site/v1)", "site-a", "the base"),
}
SKIPPED = {
    "README.md": UNKNOWN,
    "SOURCES.tsv": UNKNOWN,
    "model-folders/aic__Qwen--Qwen3-235B-A22B-FP8_config.json": MODEL,
    "model-folders/aic__deepseek-ai--DeepSeek-R1_config.json": MODEL,
    "model-folders/aic__deepseek-ai--DeepSeek-V3.2_config.json": MODEL,
    "model-folders/aic__deepseek-ai--DeepSeek-V3_config.json": MODEL,
    "model-folders/aic__meta-llama--Llama-4-Scout-17B-16E-Instruct_config.json": MODEL,
    "model-folders/deepseek-v3-inference__config_671B.json": MODEL,
    "model-folders/deepseek-v3__README_WEIGHTS.md": UNKNOWN,
    "model-folders/dgxc_deepseek-r1-FP8_ls-lha.txt": "looks like model: lists 163 weight files of 695.7 GB",
    "model-folders/ollama_manifest_phi3_mini.json": "looks like model: is Ollama's manifest of a model",
    "model-folders/qwen72b__config.json": MODEL,
    "model-folders/qwen72b__gitattributes": "looks like model: is a .gitattributes",
    "model-folders/qwen72b__model.safetensors.index.json": "looks like model: is an index of 643 tensors in 19 shards",
    "nccl/aws_adt_slurm_label_prefix_part1.txt": "looks like collectives' log: line 32: truncated nccl-tests log",
    "nccl/eunomia_failures_invalid_usage.md": "looks like collectives' log: is not nccl-tests output",
    "nccl/issue338_cuda_not_initialized_fail.txt": "looks like collectives' log: is not nccl-tests output",
    "nccl/issue5_nccl1_header_fail.txt": "looks like collectives' log: line 14: truncated nccl-tests log",
    "nccl/issue78_allreduce_256gpu_error_NA_truncated.txt": "looks like collectives' log: line 12: truncated",
    "nccl/rccl_mi300x_version_line_unprefixed.txt": "looks like collectives' log: line 17: truncated nccl-tests log",
    "prometheus/captured_err_parse_bad_data.json": "looks like metrics: is an error of Prometheus (bad_data)",
    "prometheus/captured_label_names_values.json": "looks like metrics: is a list of 1351 names",
    "prometheus/captured_metadata_vllm_e2e.json": "looks like metrics: is metadata (type and help of 1 metrics",
    "prometheus/captured_qi_scalar.json": "looks like metrics: is a scalar, 1",
    "prometheus/captured_qr_empty_wrong_metric.json": "looks like metrics: the answer is empty",
    "prometheus/captured_qr_p99_e2e_norate_v06.json": "looks like metrics: is the result of an expression",
    "prometheus/captured_targets.json": "looks like metrics: is the list of targets (6 scraped, 1 of them not up)",
    "prometheus/grafana_promlib_range_missing.result.json": "looks like metrics: holds go_goroutines, and no",
    "prometheus/ollama_exporter_maravexa_metrics.md": "looks like metrics: names 14 metrics (ollama_up",
    "prometheus/vllm_0.33.0_prometheus.yaml": "looks like metrics: is the configuration of a Prometheus server",
    "request-logs/kubeai_vllm_example_requests.output": UNKNOWN,
    "request-logs/llama-swap_deepseek-v3_errors.log": "is requests (llama-swap), and could belong to each of chat, ",
    "request-logs/nginx_llm_gateway_DOC_EXAMPLE.log": "is requests (nginx), and could belong to each of chat, ",
    "request-logs/nginx_rt_urt_dash_upstreams.log": "looks like requests: none of the 2 requests generates text",
    "request-logs/ollama_gin_journald_r1-671b.log": "is requests (ollama); ollama has request-logs/ollama_gin_minutes",
    "request-logs/sglang_tp0_decode_batch_197.log": "looks like requests: has only SGLang's batch lines",
    "request-logs/vllm085_v0_r1-0528-8b_docker.log": "is requests (vllm-requests), and could belong to each of chat, ",
    "request-logs/vllm_v1_loggers_gpt-oss_b200.log": "looks like requests: has only vLLM's statistics lines",
}
# The folder is one thing, whatever the number of its files.
FOLDER = "site-a/model"


def test_every_file_is_used_as_what_it_is_or_skipped_with_the_reason(shared: Path) -> None:
    found = discover(shared / "inputs")
    assert {one.path: (one.kind, one.says, one.key) for one in found.used} == USED
    reasons = {one.path: one.reason for one in found.skipped}
    assert reasons.keys() == SKIPPED.keys()
    assert {path: reasons[path][: len(start)] for path, start in SKIPPED.items()} == SKIPPED
    files = {str(path.relative_to(shared / "inputs")) for path in (shared / "inputs").rglob("*") if path.is_file()}
    listed = [*USED, *SKIPPED]
    assert len(listed) == len(set(listed))
    assert {path for path in files if not path.startswith(f"{FOLDER}/")} == set(listed) - {FOLDER}
