"""Versions that must not run: what the list says of one, what is unknown, and which rows are refused."""

from __future__ import annotations

from typing import Any

import pytest

from ferry.catalog import known_bad
from ferry.errors import CatalogError
from ferry.planning.engines import ENGINES
from stacks.settings import Settings
from tests.conftest import REPOSITORY

ROW = {
    "product": "vllm",
    "versions": ">=0.5,<0.6.1",
    "id": "CVE-2099-1",
    "severity": "high",
    "what": "it falls over",
    "remedy": "0.6.1",
    "source": "https://example.com",
    "as_of": "2026-11-01",
}


@pytest.mark.parametrize(
    ("product", "version", "ids"),
    [
        ("vllm", "v0.11.0", 10),
        ("vllm", "0.23.0", 2),
        ("vllm", "v0.24.0", 0),
        ("vllm", "v0.24.0rc1", 2),
        ("vllm", "v0.33.0-cu129", 0),
        ("sglang", "v0.5.9", 2),
        ("sglang", "v0.5.10.post1", 0),
        ("triton", "25.07-py3", 4),
        ("triton", "26.06-trtllm-python-py3", 0),
        ("tensorrt-llm", "1.3.0rc16", 1),
        ("nvidia-driver", "580.126.09", 2),
        ("nvidia-driver", "580.178.04", 0),
        ("nvidia-driver", "620.10", 0),
        ("nvidia-container-toolkit", "1.17.7", 2),
        ("envoy", "v1.36.4", 1),
        ("envoy", "v1.40.0", 0),
        ("containerd", "2.2.4", 1),
        ("runc", "1.3.2", 1),
        ("runc", "1.4.0-rc.3", 0),
    ],
)  # fmt: skip
def test_a_version_is_held_against_every_range(product: str, version: str, ids: int) -> None:
    judged = known_bad.judge(product, version)
    assert (len(judged.bad), judged.version is None) == (ids, False)


@pytest.mark.parametrize(
    "image",
    ["vllm-openai:latest", "vllm-openai", "vllm-openai@sha256:0f", "vllm-openai:nightly-0a1b2c3", "registry:5000/vllm"],
)
def test_a_tag_that_is_no_version_is_unknown_and_never_good(image: str) -> None:
    judged = known_bad.judge_image("vllm", image)
    assert judged.version is None
    assert judged.says == "its version is unknown, and so is whether it is known to be bad"
    assert judged.remedy == "name the version in the tag"


def test_what_happens_and_what_mends_all_of_it_is_said_the_worst_first() -> None:
    judged = known_bad.judge_image("sglang", "registry:5000/team/sglang:v0.5.4@sha256:0f")
    assert judged.says == (
        "must not run: CVE-2026-3059 (critical): multimodal generation unpickles what arrives on an open socket, "
        "and 1 more"
    )
    assert judged.remedy == ("install sglang 0.5.10 or newer (https://github.com/advisories/GHSA-rgq9-fqf5-fv58)")


def test_a_product_that_is_not_listed_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(CatalogError, match="no versions of 'vlm' are listed; nearest: vllm"):
        known_bad.judge("vlm", "1.0")


def test_a_good_row_is_read() -> None:
    (one,) = known_bad.read([ROW])
    assert (one.product, one.id, str(one.remedy), one.as_of.isoformat()) == (
        "vllm",
        "CVE-2099-1",
        "0.6.1",
        "2026-11-01",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"versions": "0.5 - 0.6"}, r"known_bad.csv:2: Invalid specifier: .*; versions and remedy are PEP 440"),
        ({"remedy": "newest"}, r"known_bad.csv:2: Invalid version: 'newest'"),
        ({"as_of": "last week"}, r"known_bad.csv:2: Invalid isoformat string"),
        ({"severity": "HIGH"}, r"known_bad.csv:2: severity is 'HIGH', allowed are critical, high, medium"),
        ({"versions": "~=0.5"}, r"known_bad.csv:2: versions has the operator ~=, allowed are >= and <"),
        ({"source": ""}, r"known_bad.csv:2: source is empty; fill it in or drop the row"),
        ({"remedy": "0.6"}, r"known_bad.csv:2: the remedy 0.6 is among the bad versions"),
    ],
)
def test_a_malformed_row_is_refused_with_its_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        known_bad.read([ROW | change])


def test_no_shipped_stack_and_no_plan_names_a_version_that_is_known_to_be_bad() -> None:
    named = [(engine.name, engine.image) for engine in ENGINES.values()]
    for stack in (REPOSITORY / "stacks").glob("Pulumi.*.yaml"):
        named += known_bad.images(Settings.load(stack))
    assert {known_bad.judge_image(*one).says for one in named} == {"not known to be bad"}
