"""Every file of the real inputs is read with the right numbers, or refused with the right reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ferry.assess.models import read_model
from ferry.errors import UnreadableInput

pytestmark = pytest.mark.shared

# name: parameters, active ones, bytes, dtype, quantisation, attention, layers, KV heads, width of a key, context,
# experts, active ones. Worked out by hand from the dimensions; the publishers say 671B/37B, 235B/22B, 109B/17B (with a
# vision tower of 0.9B), 72B.
DEEPSEEK_V3 = (671_026_419_200, 37_552_297_472, 672_879_777_280, "fp8", "fp8", "MLA", 61, 128, 192, 163_840, 256, 8)
CONFIGURATIONS: dict[str, tuple[object, ...]] = {
    "aic__deepseek-ai--DeepSeek-R1_config.json": DEEPSEEK_V3,
    "aic__deepseek-ai--DeepSeek-V3_config.json": DEEPSEEK_V3,
    # The indexer: 61 x (1536 x 64 x 128 + 7168 x 128 + 2 x 128 + 7168 x 64).
    "aic__deepseek-ai--DeepSeek-V3.2_config.json": (
        671_026_419_200 + 851_524_864, 37_552_297_472 + 851_524_864, 672_879_777_280 + 851_524_864, *DEEPSEEK_V3[3:],
    ),
    "deepseek-v3-inference__config_671B.json": (*DEEPSEEK_V3[:9], 16_384, 256, 8),
    "aic__Qwen--Qwen3-235B-A22B-FP8_config.json": (
        235_093_634_560, 22_190_763_520, 235_093_634_560 + 2 * 151_936 * 4096, "fp8", "fp8", "GQA", 94, 4, 128, 40_960,
        128, 8,
    ),
    "aic__meta-llama--Llama-4-Scout-17B-16E-Instruct_config.json": (
        107_769_861_120, 17_172_894_720, 2 * 107_769_861_120, "bfloat16", None, "GQA", 48, 8, 128, 10_485_760, 16, 1,
    ),
    "qwen72b__config.json": (
        72_287_920_128, 72_287_920_128, 2 * 72_287_920_128, "bfloat16", None, "MHA", 80, 64, 128, 8192, None, None,
    ),
}  # fmt: skip
REFUSED = {
    "deepseek-v3__README_WEIGHTS.md": "a page of text has no figures that Ferry would trust",
    # 163 sizes add up to 656.1 GiB; ls rounded each up by less than 0.1 GiB.
    "dgxc_deepseek-r1-FP8_ls-lha.txt": "lists 163 weight files of 695.7 GB (dgxc_deepseek-r1-FP8_ls-lha.txt:9-171: 163 "
    "sizes that ls rounded, together 687.0 to 704.5 GB, the middle of it), and says nothing of layers and heads",
    "ollama_manifest_phi3_mini.json": "is Ollama's manifest of a model of 2176177120 bytes (sha256-633fc5be925f…",
    "qwen72b__gitattributes": "is a .gitattributes: it says which files git-lfs keeps",
    "qwen72b__model.safetensors.index.json": "is an index of 643 tensors in 19 shards, 144575840256 bytes, 80 layers",
}


def test_the_table_names_every_file(shared: Path) -> None:
    assert {path.name for path in (shared / "inputs" / "model-folders").iterdir()} == {*CONFIGURATIONS, *REFUSED}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_has_the_numbers_of_its_publisher(shared: Path, name: str) -> None:
    facts = read_model(shared / "inputs" / "model-folders" / name, name).facts
    assert (
        facts.parameters.value, facts.active_parameters.value, facts.weight_bytes.value, facts.dtype,
        facts.quantization, facts.attention, facts.layers, facts.kv_heads, facts.head_dim, facts.context_tokens,
        facts.experts_total, facts.experts_active,
    ) == CONFIGURATIONS[name]  # fmt: skip
    assert facts.parameters.basis == "assumed"


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_configuration_is_refused_with_what_it_says(shared: Path, name: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        read_model(shared / "inputs" / "model-folders" / name, name)
    assert REFUSED[name] in str(refused.value)


def test_llama_4_looks_back_one_chunk_in_three_of_four_layers(shared: Path) -> None:
    name = "aic__meta-llama--Llama-4-Scout-17B-16E-Instruct_config.json"
    facts = read_model(shared / "inputs" / "model-folders" / name, name).facts
    assert (facts.sliding_window_tokens, facts.sliding_window_layers) == (8192, 36)


def test_qwen_72b_with_its_index_is_measured_and_its_width_told_by_the_bytes(shared: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors.index.json"):
        shutil.copy(shared / "inputs" / "model-folders" / f"qwen72b__{name}", tmp_path / name)
    model = read_model(tmp_path, "qwen")
    facts = model.facts
    assert (facts.weight_bytes.value, facts.parameters.value) == (144_575_840_256, 72_287_920_128)
    assert (facts.parameters.basis, facts.dtype) == ("measured", "bfloat16")
    assert [finding.code for finding in model.findings] == ["weights-not-here", "model-dtype-unknown"]


def test_deepseek_r1_with_its_listing_has_the_bytes_of_the_listing(shared: Path, tmp_path: Path) -> None:
    folder = shared / "inputs" / "model-folders"
    shutil.copy(folder / "aic__deepseek-ai--DeepSeek-R1_config.json", tmp_path / "config.json")
    shutil.copy(folder / "dgxc_deepseek-r1-FP8_ls-lha.txt", tmp_path / "ls.txt")
    facts = read_model(tmp_path / "ls.txt", "r1/ls.txt").facts
    # The model's own index says 688.6 GB: within the bounds of the rounding.
    assert facts.weight_bytes.value == pytest.approx(695.7e9, rel=1e-4)
    assert facts.parameters.value == 671_026_419_200


@pytest.mark.parametrize(
    "name",
    [
        "", "config.json", "model.safetensors.index.json", "model-00001-of-000008.safetensors",
        "model-00008-of-000008.safetensors",
    ],
)  # fmt: skip
def test_the_sites_model_is_qwen_of_32b_by_any_of_its_files(shared: Path, name: str) -> None:
    model = read_model(shared / "inputs" / "site-a" / "model" / name, f"model/{name}".rstrip("/"))
    facts = model.facts
    assert (facts.parameters.value, facts.weight_bytes.value) == (32_763_876_352, 65_527_752_704)
    assert (facts.attention, facts.layers, facts.kv_heads, facts.sliding_window_tokens) == ("GQA", 64, 8, None)
    assert [finding.seen for finding in model.findings] == ["2 of 8 shards are here, as git-lfs pointers"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (".gitattributes", "is a .gitattributes"),
        ("generation_config.json", "model_type is missing"),
        ("tokenizer_config.json", "model_type is missing"),
    ],
)
def test_what_else_lies_in_the_sites_folder_is_refused(shared: Path, name: str, says: str) -> None:
    with pytest.raises(UnreadableInput, match=says):
        read_model(shared / "inputs" / "site-a" / "model" / name, name)
