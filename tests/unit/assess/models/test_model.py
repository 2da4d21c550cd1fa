from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.assess.models import Weights, model_facts, read_model
from ferry.assess.models.safetensors import parse_header, parse_index
from ferry.errors import UnreadableInput

# A model small enough to write out: 2 layers, 4 heads of 4, 2 key heads.
CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 16,
    "intermediate_size": 32,
    "max_position_embeddings": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 100,
}
# embeddings 2·100·16, each layer 2·16·16 + 2·16·8 + (16+8+8) + 3·16·32 + 2·16, last norm 16
PARAMETERS = 3200 + 2 * (512 + 256 + 32 + 1536 + 32) + 16
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize {}\n"


def safetensors(tensors: dict[str, int], dtype: str = "BF16") -> bytes:
    header, offset = {}, 0
    for name, elements in tensors.items():
        header[name] = {"dtype": dtype, "shape": [elements], "data_offsets": [offset, offset + 2 * elements]}
        offset += 2 * elements
    text = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole model of two real shards."""
    shards = {
        "model-00001-of-00002.safetensors": {"a": PARAMETERS - 1000},
        "model-00002-of-00002.safetensors": {"b": 400, "c": 600},
    }
    for name, tensors in shards.items():
        (tmp_path / name).write_bytes(safetensors(tensors))
    weight_map = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    index = {"metadata": {"total_size": 2 * PARAMETERS}, "weight_map": weight_map}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def refusal(folder: Path) -> str:
    with pytest.raises(UnreadableInput) as refused:
        read_model(folder, "model")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_whole_folder_is_counted_from_the_headers_of_its_shards(folder: Path) -> None:
    model = read_model(folder, "model")
    facts = model.facts
    assert (facts.parameters.value, facts.parameters.basis) == (PARAMETERS, "measured")
    assert (facts.weight_bytes.value, facts.weight_bytes.basis) == (2 * PARAMETERS, "measured")
    assert facts.parameters.source == "model: headers of 2 shards"
    assert (facts.attention, facts.kv_heads, facts.head_dim) == ("GQA", 2, 4)
    assert model.findings == []
    assert [path.name for path in model.read] == ["config.json", "model.safetensors.index.json"]


def test_an_index_that_names_a_missing_shard_is_refused(folder: Path) -> None:
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert refusal(folder) == (
        "model/model.safetensors.index.json: names 2 shards, 1 of them are missing or git-lfs pointers: "
        "model-00002-of-00002.safetensors; finish the copy: git lfs pull"
    )


def test_a_folder_where_only_some_shards_were_pulled_is_refused(folder: Path) -> None:
    (folder / "model-00001-of-00002.safetensors").write_text(POINTER.format(1234))
    assert "1 of them are missing or git-lfs pointers: model-00001-of-00002.safetensors" in refusal(folder)


def test_a_folder_of_pointers_describes_the_model_and_says_that_the_weights_are_elsewhere(folder: Path) -> None:
    (folder / "model-00001-of-00002.safetensors").unlink()
    (folder / "model-00002-of-00002.safetensors").write_text(POINTER.format(2000))
    model = read_model(folder, "model")
    assert model.facts.weight_bytes.value == 2 * PARAMETERS
    assert model.facts.parameters.source == "model/model.safetensors.index.json: total_size / 2 bytes"
    (finding,) = model.findings
    assert (finding.code, finding.seen) == ("weights-not-here", "1 of 2 shards are here, as git-lfs pointers")
    assert "model-00002-of-00002.safetensors" in [path.name for path in model.read]


def test_the_pointers_tell_the_bytes_where_the_index_does_not(folder: Path) -> None:
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index["weight_map"]}))
    for number in (1, 2):
        (folder / f"model-0000{number}-of-00002.safetensors").write_text(POINTER.format(number * 4000))
    assert read_model(folder, "model").facts.weight_bytes.value == 12000


def test_a_cut_off_shard_is_refused(folder: Path) -> None:
    shard = folder / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-2])
    assert refusal(folder).endswith("cut off? copy it again")
    shard.write_bytes(shard.read_bytes()[:40])
    assert "is not a safetensors file, or is cut off within its header" in refusal(folder)


def test_a_shard_without_a_tensor_that_the_index_places_in_it_is_refused(folder: Path) -> None:
    (folder / "model-00002-of-00002.safetensors").write_bytes(safetensors({"b": 1000}))
    assert "model/model-00002-of-00002.safetensors: does not hold 'c'" in refusal(folder)


def test_a_shard_whose_tensors_share_bytes_is_refused() -> None:
    header = {name: {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]} for name in ("a", "b")}
    with pytest.raises(UnreadableInput, match="its tensors fill 16 bytes of 8: overlaps or holes"):
        parse_header(json.dumps(header).encode(), "shard")


def test_one_file_without_an_index_is_read_from_its_header(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.safetensors").write_bytes(safetensors({"all": PARAMETERS}))
    facts = read_model(tmp_path, "model").facts
    assert facts.parameters.value == PARAMETERS
    assert facts.weight_bytes.source == "model/model.safetensors: header"


def test_shards_without_an_index_are_refused(folder: Path) -> None:
    (folder / "model.safetensors.index.json").unlink()
    assert "has model-00001-of-00002.safetensors and 1 more, but no model.safetensors.index.json" in refusal(folder)


def test_a_configuration_alone_is_computed_and_said_to_be_assumed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    model = read_model(tmp_path, "model")
    assert (model.facts.parameters.value, model.facts.parameters.basis) == (PARAMETERS, "assumed")
    assert (model.facts.weight_bytes.value, model.facts.weight_bytes.basis) == (2 * PARAMETERS, "assumed")
    assert [finding.code for finding in model.findings] == ["weights-not-here"]


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ("{", "is not JSON, or is cut off"),
        ("[]", "expected a JSON object, found list"),
        ('{"metadata": {}}', "has no weight_map of tensor names to files"),
        ('{"weight_map": {"a": "../../etc/passwd"}}', "names '../../etc/passwd', which is not a plain file name"),
        (
            '{"weight_map": {"a": "model-00001-of-00003.safetensors", "b": "model-00003-of-00003.safetensors"}}',
            "numbered up to 3, and it does not name number 2",
        ),
        ('{"metadata": {"total_size": "big"}, "weight_map": {"a": "m.safetensors"}}', "metadata.total_size is 'big'"),
    ],
)
def test_a_damaged_index_is_refused_in_one_line(index: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        parse_index(index, "index")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def facts_of(**changes: Any):
    config = {key: value for key, value in (CONFIG | changes).items() if value is not None}
    return model_facts(config, Weights(source="no weights"), "model")


@pytest.mark.parametrize(
    ("quantization", "dtype"),
    [
        ({"quant_method": "fp8", "fmt": "e4m3"}, "fp8"),
        ({"quant_method": "awq", "bits": 4}, "int4"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"g": {"weights": {"type": "float", "num_bits": 8}}},
            },
            "fp8",
        ),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_method": "gptq", "bits": [4]}, "gptq"),
        ({"quant_method": "exotic"}, "exotic"),
    ],
)
def test_quantization_config_wins_over_torch_dtype(quantization: dict[str, Any], dtype: str) -> None:
    facts, _ = facts_of(quantization_config=quantization)
    assert (facts.dtype, facts.quantization) == (dtype, quantization["quant_method"])


def test_the_bytes_of_a_quantised_model_do_not_tell_its_parameters() -> None:
    weights = Weights(source="index", total_bytes=PARAMETERS + 500)
    facts, _ = model_facts(CONFIG | {"quantization_config": {"quant_method": "fp8"}}, weights, "model")
    assert (facts.parameters.value, facts.parameters.basis) == (PARAMETERS, "assumed")
    assert (facts.weight_bytes.value, facts.weight_bytes.basis) == (PARAMETERS + 500, "measured")


@pytest.mark.parametrize(("kv_heads", "attention"), [(4, "MHA"), (None, "MHA"), (1, "MQA"), (2, "GQA")])
def test_the_kind_of_attention_follows_from_the_key_heads(kv_heads: int | None, attention: str) -> None:
    assert facts_of(num_key_value_heads=kv_heads)[0].attention == attention


DEEPSEEK_V3 = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "first_k_dense_replace": 3,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "model_type": "deepseek_v3",
    "moe_intermediate_size": 2048,
    "moe_layer_freq": 1,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_attention_heads": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_key_value_heads": 128,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "tie_word_embeddings": False,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "v_head_dim": 128,
    "vocab_size": 129280,
    "quantization_config": {"quant_method": "fp8"},
}


def test_deepseek_v3_has_671_billion_parameters_latent_attention_and_8_of_256_experts() -> None:
    facts, _ = model_facts(DEEPSEEK_V3, Weights(source="none"), "model")
    # README_WEIGHTS.md of the model: 671B; 37B active is what its paper says.
    assert facts.parameters.value == 671_026_419_200
    assert facts.active_parameters.value == 37_552_297_472
    assert (facts.attention, facts.kv_lora_rank, facts.qk_rope_head_dim, facts.head_dim) == ("MLA", 512, 64, 192)
    assert (facts.experts_total, facts.experts_active) == (256, 8)
    # A byte each, but for the embedding and the output head, 129280 x 7168 each, which stay in 16 bit.
    assert (facts.weight_bytes.value, facts.dtype) == (671_026_419_200 + 2 * 129_280 * 7168, "fp8")


def test_a_model_type_that_nobody_counted_has_unknown_parameters() -> None:
    facts, _ = facts_of(model_type="mystery")
    assert facts.parameters.basis == "unknown"
    assert facts.weight_bytes.basis == "unknown"


def test_a_configuration_without_a_type_is_assumed_to_be_bfloat16_and_says_so() -> None:
    facts, findings = facts_of(torch_dtype=None)
    assert facts.dtype == "bfloat16"
    assert [finding.code for finding in findings] == ["model-dtype-unknown"]


def test_weights_of_another_model_than_the_configuration_are_found() -> None:
    _, findings = model_facts(CONFIG, Weights(source="index", total_bytes=4 * PARAMETERS), "model")
    assert [finding.code for finding in findings] == ["weights-do-not-match-config"]


def test_a_language_model_inside_a_multimodal_configuration_is_found() -> None:
    text = {key: value for key, value in CONFIG.items() if key not in ("architectures", "torch_dtype")}
    document = {"architectures": ["Outer"], "model_type": "outer", "torch_dtype": "float16", "text_config": text}
    facts, _ = model_facts(document, Weights(source="none"), "model")
    assert (facts.architecture, facts.parameters.value, facts.dtype) == ("Outer", PARAMETERS, "float16")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"model_type": None},
            "model/config.json: is not the config.json of a transformers model: model_type is missing",
        ),
        (
            {"vocab_size": None},
            "model/config.json: is not the config.json of a decoder language model: vocab_size is missing",
        ),
        ({"hidden_size": -5}, "model/config.json: hidden_size is -5; expected a whole number from 1"),
        ({"hidden_size": True}, "model/config.json: hidden_size is True; expected a whole number from 1"),
        ({"intermediate_size": None}, "model/config.json: intermediate_size is missing, model_type 'qwen2' needs it"),
        ({"num_hidden_layers": 20_000}, "model/config.json: num_hidden_layers is 20000; expected at most 10000"),
        ({"mlp_only_layers": 3}, "model/config.json: mlp_only_layers is 3; expected a list of layer numbers"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused_in_one_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        facts_of(**changes)
    assert str(refused.value) == says


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "model: has no config.json; name the folder that the engine loads the model from"


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-2, 300)
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(0, 3), max_size=2)
)


@settings(deadline=None, max_examples=300)
@given(changes=st.dictionaries(st.sampled_from([*DEEPSEEK_V3, "text_config", "head_dim", "mlp_only_layers"]), VALUES))
def test_no_configuration_ends_in_a_traceback(changes: dict[str, Any]) -> None:
    message = ""
    try:
        model_facts(DEEPSEEK_V3 | changes, Weights(source="none"), "model")
    except UnreadableInput as error:
        message = str(error)
    assert "\n" not in message


@settings(deadline=None)
@given(text=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_header_ends_in_a_traceback(text: bytes) -> None:
    whole = json.dumps({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    for damaged in (text, whole[: len(text)] + text + whole[2 * len(text) :]):
        message = ""
        try:
            parse_header(damaged, "shard")
        except UnreadableInput as error:
            message = str(error)
        assert "\n" not in message
