from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferry.assess.models import listing, read_model
from ferry.errors import UnreadableInput

SHARDS = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
CONFIG = {
    "model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 64, "intermediate_size": 128, "vocab_size": 100,
    "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128, "tie_word_embeddings": False,
}  # fmt: skip


def ls(sizes: list[str], names: list[str] = SHARDS, time: str = "Mar 31 17:04") -> str:
    rows = [f"-rw-r--r-- 1 me staff {size:>5} {time} {name}" for size, name in zip(sizes, names, strict=True)]
    return "\n".join(
        ["total 13G", f"drwxr-xr-x 2 me staff 4.0K {time} .", *rows, "-rw-r--r-- 1 me staff 1.7K x y config.json"]
    )


def parsed(text: str) -> listing.Listing:
    found = listing.parse(text, "ls.txt")
    assert found is not None
    return found


@pytest.mark.parametrize("time", ["Mar 31 17:04", "Mar 31  2024", "2025-03-31 17:04", "31. Mär 17:04", "3月 31 17:04"])
def test_rounded_sizes_give_an_interval_and_its_middle(time: str) -> None:
    found = parsed(ls(["4.9G", "4.1G", "12G"], time=time))
    gib = 2**30
    assert found.bounds == (
        round(4.8 * gib) + round(4.0 * gib) + 11 * gib,
        round(4.9 * gib) + round(4.1 * gib) + 12 * gib,
    )
    assert found.total_bytes == round(sum(found.bounds) / 2)
    assert found.source == "ls.txt:3-5: 3 sizes that ls rounded, together 21.3 to 22.5 GB, the middle of it"
    assert [finding.code for finding in listing.about(found)] == ["listing-is-rounded"]


def test_exact_sizes_are_summed() -> None:
    found = parsed(ls(["4900000000", "4100000000", "7"]))
    assert (found.total_bytes, found.rounded) == (9_000_000_007, False)
    assert found.source == "ls.txt:3-5: 3 sizes"


def test_a_listing_that_lacks_a_shard_is_refused_and_names_it() -> None:
    with pytest.raises(UnreadableInput) as refused:
        listing.parse(ls(["4.9G", "6.2G"], [SHARDS[0], SHARDS[2]]), "ls.txt")
    assert str(refused.value) == (
        "ls.txt: lists shards numbered up to 3, and not number 2: the copy is broken, or the listing cut off; list the "
        "folder again, or finish the copy: git lfs pull"
    )


def test_pointers_in_a_listing_are_found() -> None:
    found = listing.about(parsed(ls(["135", "135", "135"])))
    assert [(finding.code, finding.where) for finding in found] == [("weights-are-pointers", "ls.txt:3")]


def test_the_same_weights_in_another_form_are_counted_once() -> None:
    found = parsed(ls(["10", "20", "30", "60"], [*SHARDS, "consolidated.safetensors"]))
    assert found.total_bytes == 60


@pytest.mark.parametrize(
    ("sizes", "bounds"),
    [
        (["4.1G", "300M"], (round(4.0 * 2**30) + 299 * 2**20, round(4.1 * 2**30) + 300 * 2**20)),
        (["4", "8"], (10240, 12288)),
    ],
)
def test_du_says_units_or_kib(sizes: list[str], bounds: tuple[int, int]) -> None:
    rows = [f"{size}\t./deep/model-{n}.gguf" for n, size in enumerate(sizes)]
    found = parsed("\n".join([*rows, "4.0K\t./config.json"]))
    assert (found.program, found.bounds) == ("du", bounds)
    assert "listing-counts-disk-blocks" in [finding.code for finding in listing.about(found)]


@pytest.mark.parametrize(
    "text", ["", "# DeepSeek\n\nTotal: 671B in 163 files of model.bin\n", "4 shards\nof pytorch.bin\n"]
)
def test_prose_is_no_listing(text: str) -> None:
    assert listing.parse(text, "README.md") is None


def test_a_listing_without_weights_is_refused() -> None:
    with pytest.raises(UnreadableInput, match="names no weight files"):
        listing.parse(ls(["4.9G", "4.1G", "12G"], ["a.py", "b.py", "c.py"]), "ls.txt")


def test_a_listing_beside_its_configuration_gives_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "listing.txt").write_text(ls(["1000", "2000", "3000"]))
    for path, label in ((tmp_path, "m"), (tmp_path / "listing.txt", "m/listing.txt")):
        model = read_model(path, label)
        assert (model.facts.weight_bytes.value, model.facts.weight_bytes.source) == (6000, "m/listing.txt:3-5: 3 sizes")
        assert model.facts.parameters.basis == "assumed"
        assert "weights-not-here" in [finding.code for finding in model.findings]


def test_a_listing_of_pointers_gives_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "listing.txt").write_text(ls(["135", "135", "135"]))
    facts = read_model(tmp_path, "m").facts
    assert facts.weight_bytes.basis == "assumed"


def test_a_listing_alone_is_refused_with_the_bytes_that_it_says(tmp_path: Path) -> None:
    (tmp_path / "listing.txt").write_text(ls(["1000", "2000", "3000000000"]))
    with pytest.raises(
        UnreadableInput, match=r"lists 3 weight files of 3\.0 GB .* put the model's config\.json beside it"
    ):
        read_model(tmp_path / "listing.txt", "listing.txt")
