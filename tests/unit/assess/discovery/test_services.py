"""What belongs to one service is put together by names and engine; what could belong to several is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ferry.assess.discovery import Discovery, discover
from ferry.assess.discovery.evidence import ModelFound, names_of
from ferry.assess.discovery.services import slug
from tests.unit.assess.discovery import inputs
from tests.unit.assess.discovery.conftest import Tree

MODEL = {"Llama-Small/config.json": inputs.config(), "Llama-Small/tokenizer.json": "{}"}
FILL = "FILL-IN"


def serving(found: Discovery) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = found.dump()["site"]["serving"]
    return parts


def reasons(found: Discovery) -> dict[str, str]:
    return {one.path: one.reason for one in found.skipped}


def test_model_metrics_trace_and_deployment_of_one_service_come_together(tree: Tree) -> None:
    files = {"compose.yaml": inputs.COMPOSE, "m.txt": inputs.vllm_page("chat"), "t.csv": inputs.TRACE, **MODEL}
    found = discover(tree(files))
    assert serving(found) == [
        {
            "name": "chat",
            "model": "Llama-Small",
            "engine": "vllm",
            "metrics": ["m.txt"],
            "requests": {"trace": "t.csv", "format": "azure-llm-2023"},
        }
    ]
    assert found.dump()["site"]["deployments"] == ["compose.yaml"]
    assert "engine: vllm # compose.yaml:2 starts it\n" in found.site_yaml
    assert "model: Llama-Small  # its name is the one that is served\n" in found.site_yaml
    assert found.skipped == []


def test_two_instances_of_one_model_are_one_service(tree: Tree) -> None:
    found = discover(tree({"a.txt": inputs.vllm_page("chat"), "b.txt": inputs.vllm_page("chat")}))
    assert serving(found) == [{"name": "chat", "model": FILL, "engine": "vllm", "metrics": ["a.txt", "b.txt"]}]


def test_two_models_are_two_services_each_with_its_own(tree: Tree) -> None:
    files = {
        "a.txt": inputs.vllm_page("org/Llama-Small"),
        "b.txt": inputs.sglang_page("/models/other-7b"),
        **MODEL,
        "other-7b/config.json": inputs.config(),
    }
    assert serving(discover(tree(files))) == [
        {"name": "llama-small", "model": "Llama-Small", "engine": "vllm", "metrics": ["a.txt"]},
        {"name": "other-7b", "model": "other-7b", "engine": "sglang", "metrics": ["b.txt"]},
    ]


def test_one_page_of_two_models_is_of_both_services(tree: Tree) -> None:
    page = inputs.vllm_page("a") + 'vllm:num_requests_running{model_name="b"} 1.0\n'
    parts = serving(discover(tree({"m.txt": page})))
    assert [(part["name"], part["metrics"]) for part in parts] == [("a", ["m.txt"]), ("b", ["m.txt"])]


def test_metrics_without_a_models_name_go_to_the_only_service_on_their_engine_and_of_two_to_none(tree: Tree) -> None:
    page = "# TYPE tgi_queue_size gauge\ntgi_queue_size 3\n"
    image = "ghcr.io/huggingface/text-generation-inference:2.4.0"
    tgi = f"services:\n  {{0}}:\n    image: {image}\n    command: --model-id x/{{0}}\n"
    root = tree({"m.txt": page, "a.yaml": tgi.format("a")})
    assert [(part["name"], part["metrics"]) for part in serving(discover(root))] == [("a", ["m.txt"])]
    found = discover(tree({"b.yaml": tgi.format("b")}))
    assert [(part["name"], part.get("metrics")) for part in serving(found)] == [("a", None), ("b", None)]
    reason = "is metrics of tgi, and could belong to each of a, b: name it under metrics of the right one"
    assert reasons(found) == {"m.txt": reason}


def test_a_page_of_a_service_and_of_another_engines_model_is_used_and_not_skipped_too(tree: Tree) -> None:
    page = inputs.vllm_page("b") + 'vllm:num_requests_running{model_name="a"} 1.0\n'
    found = discover(tree({"0.txt": inputs.sglang_page("a"), "1.txt": page}))
    assert [(part["name"], part["metrics"]) for part in serving(found)] == [("a", ["0.txt"]), ("b", ["1.txt"])]
    assert found.skipped == []


def test_a_trace_that_could_be_of_two_services_is_given_to_none(tree: Tree) -> None:
    found = discover(tree({"a.txt": inputs.vllm_page("a"), "b.txt": inputs.vllm_page("b"), "t.csv": inputs.TRACE}))
    assert all("requests" not in part for part in serving(found))
    reason = "is requests (azure-llm-2023), and could belong to each of a, b: name it under requests of the right one"
    assert reasons(found) == {"t.csv": reason}


def test_an_engines_log_goes_to_the_service_on_that_engine(tree: Tree) -> None:
    found = discover(tree({"a.txt": inputs.vllm_page("a"), "ollama.log": inputs.OLLAMA_LOG}))
    assert [(part["name"], part["engine"], part.get("requests")) for part in serving(found)] == [
        ("a", "vllm", None),
        ("ollama", "ollama", {"trace": "ollama.log", "format": "ollama"}),
    ]


def test_of_two_traces_the_larger_is_taken_and_the_other_named(tree: Tree) -> None:
    found = discover(tree({"a.txt": inputs.vllm_page("a"), "m.jsonl": inputs.MOONCAKE, "t.csv": inputs.TRACE}))
    assert serving(found)[0]["requests"]["trace"] == "m.jsonl"
    assert reasons(found) == {"t.csv": "is requests (azure-llm-2023); a has m.jsonl already, and takes one"}


def test_a_model_that_nothing_serves_is_named_where_services_are_known(tree: Tree) -> None:
    files = {"compose.yaml": inputs.COMPOSE, **MODEL, "draft/config.json": inputs.config()}
    found = discover(tree(files))
    assert [part["model"] for part in serving(found)] == ["Llama-Small"]
    assert reasons(found) == {"draft": "is a model that nothing here serves: add it under serving if it is served"}


def test_a_model_that_site_yaml_names_by_its_configuration_is_named(tree: Tree) -> None:
    site = inputs.SITE.replace("model: Llama-Small", "model: Llama-Small/config.json")
    found = discover(tree({"site.yaml": site, "node-0.csv": inputs.gpu_csv(0), **MODEL}))
    assert "Llama-Small" not in reasons(found)
    assert [one.key for one in found.used if one.path == "Llama-Small"] == ["named in site.yaml"]


def test_models_alone_are_services_whose_engine_is_to_be_said(tree: Tree) -> None:
    found = discover(tree({**MODEL, "b/other-7b/config.json": inputs.config()}))
    assert [(part["name"], part["model"], part["engine"]) for part in serving(found)] == [
        ("llama-small", "Llama-Small", FILL),
        ("other-7b", "b/other-7b", FILL),
    ]


def test_two_copies_of_a_served_model_are_a_finding(tree: Tree) -> None:
    files = {"compose.yaml": inputs.COMPOSE, **MODEL, "old/Llama-Small/config.json": inputs.config()}
    found = discover(tree(files))
    assert [finding.code for finding in found.findings] == ["discovered-models-differ"]
    assert reasons(found) == {"old/Llama-Small": "chat has the model Llama-Small already"}


def test_metrics_of_another_engine_than_the_one_that_is_started_are_a_finding(tree: Tree) -> None:
    found = discover(tree({"compose.yaml": inputs.COMPOSE, "m.txt": inputs.sglang_page("chat")}))
    (finding,) = found.findings
    assert finding.code == "discovered-engines-differ"
    assert finding.seen == "chat: vllm (compose.yaml:2 starts it); metrics of sglang"
    assert serving(found)[0]["engine"] == "sglang"


def test_two_models_for_one_port_are_a_finding(tree: Tree) -> None:
    other = inputs.UNIT.replace("Llama-Small", "Qwen").replace("chat", "code")
    found = discover(tree({"compose.yaml": inputs.COMPOSE, "b.service": other}))
    (finding,) = found.findings
    assert finding.code == "discovered-port-twice"
    assert finding.seen == "port 8000: code (/models/Qwen); port 8000: chat (/models/Llama-Small)"


def test_training_is_kept_apart_and_stays(tree: Tree) -> None:
    site = discover(tree({"a.sbatch": inputs.SLURM})).dump()["site"]
    assert site["training"] == [{"name": "finetune", "launcher": "torchrun", "nodes": 2}]
    assert site["serving"] == [{"name": "service", "model": FILL, "engine": FILL}]


def test_a_name_that_two_services_would_have_gets_a_number(tree: Tree) -> None:
    other = inputs.COMPOSE.replace("vllm/vllm-openai:v0.8.5", "lmsysorg/sglang:v0.4.7")
    other = other.replace("--model ", "python3 -m sglang.launch_server --model-path ")
    parts = serving(discover(tree({"a.yaml": inputs.COMPOSE, "b.yaml": other})))
    assert [(part["name"], part["engine"]) for part in parts] == [("chat", "vllm"), ("chat-2", "sglang")]


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (("Qwen/Qwen2.5-7B_Instruct",), "qwen2-5-7b-instruct"),
        (("/models/x/",), "x"),
        (("---", None, "Tgi"), "tgi"),
        (("123",), "service"),
        (("模型",), "service"),
        (("a" * 60,), "a" * 40),
    ],
)
def test_a_name_is_made_as_site_yaml_wants_it(texts: tuple[str | None, ...], name: str) -> None:
    assert slug(*texts) == name


def test_names_are_compared_without_case_and_punctuation() -> None:
    assert names_of("meta-llama/Llama-3.1-8B", "/models/LLAMA_3.1_8b/", None, "/srv/model") == {"llama318b"}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("a/Llama-3", {"llama3"}),
        ("hub/models--meta-llama--Llama-3/snapshots/0123abc", {"llama3"}),
        ("hub/models--gpt2", {"gpt2"}),
        ("store/manifests/registry.ollama.ai/library/phi3/mini", {"phi3mini", "phi3"}),
        ("store/manifests/registry.ollama.ai/library/phi3/latest", {"phi3"}),
        ("site/model", set()),
    ],
)
def test_a_model_is_named_by_its_folder_or_its_store(path: str, names: set[str]) -> None:
    assert ModelFound(path, "LlamaForCausalLM").names == names


def test_the_document_is_json(tree: Tree) -> None:
    document = discover(tree({"compose.yaml": inputs.COMPOSE, **MODEL})).dump()
    assert json.loads(json.dumps(document)) == document
    assert sorted(document) == ["base", "findings", "folder", "site", "site_yaml", "skipped", "to_fill_in", "used"]
