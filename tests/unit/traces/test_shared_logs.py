"""Every request log and trace beside the checkout: its numbers, worked out with awk and grep, or why it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry.errors import UnreadableInput
from ferry.traces import open_trace, recognise, statistics

pytestmark = pytest.mark.shared
LOGS, TRACES = Path("inputs/request-logs"), Path("traces")

# format, requests, of something else, generate no text, with latency, with answer tokens
READ = {
    LOGS / "llama-swap_deepseek-v3_errors.log": ("llama-swap", 3, 9, 2, 3, 0),
    LOGS / "nginx_llm_gateway_DOC_EXAMPLE.log": ("nginx", 1, 0, 0, 1, 0),
    LOGS / "ollama_gin_journald_r1-671b.log": ("ollama", 2, 0, 7, 2, 0),
    LOGS / "ollama_gin_minutes_13552.log": ("ollama", 9, 5, 0, 9, 0),
    LOGS / "tgi_success_lines.log": ("tgi", 2, 1, 0, 2, 2),
    LOGS / "vllm085_v0_r1-0528-8b_docker.log": ("vllm-requests", 1, 185, 0, 0, 0),
    TRACES / "azure2023/AzureLLMInferenceTrace_conv.csv": ("azure-llm-2023", 19366, 0, 0, 0, 19366),
    TRACES / "azure2023/AzureLLMInferenceTrace_code.csv": ("azure-llm-2023", 8819, 0, 0, 0, 8819),
    TRACES / "mooncake/conversation_trace.jsonl": ("mooncake", 12031, 0, 0, 0, 12031),
}
REFUSED = {
    LOGS / "kubeai_vllm_example_requests.output": "is no trace or log that Ferry knows",
    LOGS / "nginx_rt_urt_dash_upstreams.log": "none of the 2 requests generates text",
    LOGS / "sglang_tp0_decode_batch_197.log": "has only SGLang's batch lines",
    LOGS / "vllm_v1_loggers_gpt-oss_b200.log": "has only vLLM's statistics lines",
}


@pytest.mark.parametrize("file", READ, ids=lambda file: file.name)
def test_a_real_log_is_read_with_its_numbers(shared: Path, file: Path) -> None:
    with open_trace(shared / file) as trace:
        counts, known = trace.counts, trace.known
        assert counts.damaged == 0
        seen = (counts.requests, counts.other, counts.not_inference, known["latency_us"], known["output_tokens"])
        assert (trace.format, *seen) == READ[file]


@pytest.mark.parametrize("file", REFUSED, ids=lambda file: file.name)
def test_what_is_no_log_of_requests_is_refused_with_its_reason(shared: Path, file: Path) -> None:
    with pytest.raises(UnreadableInput, match=REFUSED[file]) as refused:
        open_trace(shared / file, label=file.name)
    assert "\n" not in str(refused.value)


def test_no_file_is_left_out_of_the_tables(shared: Path) -> None:
    files = [
        *(shared / LOGS).iterdir(),
        *(shared / TRACES / "azure2023").iterdir(),
        *(shared / "traces/mooncake").iterdir(),
    ]
    assert {file.relative_to(shared) for file in files} == READ.keys() | REFUSED.keys()
    assert recognise(shared / LOGS / "sglang_tp0_decode_batch_197.log") is None


def test_mooncakes_quantiles_and_the_prompts_that_came_before(shared: Path) -> None:
    with open_trace(shared / "traces/mooncake/conversation_trace.jsonl") as trace:
        found, arrays = statistics.of(trace), trace.arrays()
    assert found.arrivals is not None
    assert (found.arrivals.duration_s, found.arrivals.busiest_minute, found.arrivals.in_busiest_minute) == (
        3536.999, 36, 247,
    )  # fmt: skip
    prompts, answers = found.input_tokens, found.output_tokens
    assert prompts is not None
    assert answers is not None
    assert (prompts.p50, prompts.p95, prompts.p99) == (6909, 39552, 85401)
    assert (answers.p50, answers.p95, answers.p99) == (350, 698, 1120)
    assert found.reused_prompt_tokens == (54_098_411, 144_793_823)
    assert arrays.cached_tokens is not None
    assert (arrays.arrival_s[-1], int(arrays.cached_tokens.sum())) == (3536.999, 54_098_411)


def test_gin_minutes_are_seconds_and_answers_begin_before_they_end(shared: Path) -> None:
    with open_trace(shared / LOGS / "ollama_gin_minutes_13552.log") as trace:
        found = statistics.of(trace)
    assert found.latency_us is not None
    assert (found.latency_us.p50, found.latency_us.p99, found.peak_in_flight) == (110_000_000, 204_000_000, 4)
