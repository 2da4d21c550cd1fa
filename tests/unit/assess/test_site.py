from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry import traces
from ferry.assess.site import SCHEMA_FILE, json_schema, read_site
from ferry.errors import FerryError, InvalidField, UnknownSchema, UnreadableInput

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "site" / "site.yaml"


def refusal(path: Path) -> str:
    with pytest.raises(InvalidField) as refused:
        read_site(path)
    message = str(refused.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_the_example_is_read_with_exact_values() -> None:
    site = read_site(EXAMPLE)
    assert (site.cluster.nodes, site.cluster.gpus_per_node) == (2, 8)
    assert site.costs.servers.price_each == Decimal(165000)
    assert site.costs.power.price_per_kwh == Decimal("0.14")
    assert site.constraints.regions_allowed == ["us-east-1", "us-west-2"]
    assert site.serving[0].slo.ttft_p99_ms == 2000


def test_an_unknown_key_names_the_nearest_known_one(change_site) -> None:
    path = change_site(lambda site: site["cluster"].update(gpu_per_node=8))
    assert refusal(path) == (
        "cluster.gpu_per_node: unknown key; did you mean 'gpus_per_node'?; known here: nodes, gpus_per_node, "
        "accelerator, purchased, nvidia_smi, nccl_tests, software, metrics, prometheus"
    )


def test_a_misspelt_required_key_is_named_rather_than_the_missing_one(change_site) -> None:
    path = change_site(lambda site: site["cluster"].update(nodess=site["cluster"].pop("nodes")))
    assert refusal(path).startswith("cluster.nodess: unknown key; did you mean 'nodes'?")


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda s: s["cluster"].update(nodes=0), "cluster.nodes: input should be greater than or equal to 1, given 0"),
        (
            lambda s: s["serving"][0].update(engine="mlc"),
            "serving[0].engine: input should be 'vllm', 'sglang', 'tgi', 'triton', 'tensorrt-llm' or 'ollama', given "
            "'mlc'",
        ),
        (
            lambda s: s["cluster"].update(prometheus={"url": "http://p:9090", "username_env": "U"}),
            "cluster.prometheus: username_env and password_env go together",
        ),
        (
            lambda s: s["cluster"].update(
                prometheus={"url": "http://p:9090", "token_env": "T", "username_env": "U", "password_env": "P"}
            ),
            "cluster.prometheus: give either token_env, or username_env and password_env, not both",
        ),
        (
            lambda s: s["cluster"].update(prometheus={"url": "http://p:9090", "ca_file": "ca.pem"}),
            "cluster.prometheus: ca_file is for an https address",
        ),
        (
            lambda s: s["cluster"].update(prometheus={"url": "http://p:9090", "window_days": 93}),
            "cluster.prometheus.window_days: input should be less than or equal to 92, given 93",
        ),
        (
            lambda s: s["cluster"].update(prometheus={"url": "http://p:9090"}, metrics=["a"]),
            "cluster: give either metrics (saved files) or prometheus (a live server), not both",
        ),
        (
            lambda s: s["serving"][0]["requests"].update(format="csv"),
            "serving[0].requests.format: input should be "
            + re.sub("', '([^']*)'$", r"' or '\1'", ", ".join(map(repr, traces.FORMATS)))
            + ", given 'csv'",
        ),
        (
            lambda s: s["serving"][0].update(prometheus={"url": "http://p:9090"}),
            "serving[0]: give either metrics (saved files) or prometheus (a live server), not both",
        ),
        (
            lambda s: s["location"].update(time_zone="America/NewYork"),
            "location: time_zone 'America/NewYork' is unknown; did you mean 'America/New_York'?",
        ),
        (lambda s: s["location"].update(time_zone="../zone"), "location: time_zone '../zone' is unknown"),
        (
            lambda s: s["costs"]["power"].update(pue=0.9),
            "costs.power.pue: input should be greater than or equal to 1, given 0.9",
        ),
        (
            lambda s: s["costs"].update(cooling=float("nan")),
            "costs.cooling: input should be a finite number, given nan",
        ),
        (lambda s: s["training"][0].update(stays=False), "training[0].stays: input should be True, given False"),
        (lambda s: s["training"][0].update(nodes=3), "training 'finetune' uses 3 nodes, cluster.nodes is 2"),
        (
            lambda s: s["serving"].append(s["serving"][0]),
            "serving: two entries are named 'assistant'; names are unique",
        ),
        (lambda s: s.pop("location"), "location: is missing"),
        (
            lambda s: s["constraints"].update(compliance=["gdpr"]),
            "constraints.compliance[0]: input should be 'mlps-l3-controls', given 'gdpr'",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(change_site, edit, says: str) -> None:
    assert refusal(change_site(edit)) == says


def test_a_password_in_the_address_of_prometheus_is_refused(change_site) -> None:
    def edit(site) -> None:
        del site["serving"][0]["metrics"]
        site["serving"][0]["prometheus"] = {"url": "http://me:secret@p:9090"}

    assert refusal(change_site(edit)).startswith("serving[0].prometheus.url: string should match pattern")


def test_a_line_end_in_a_path_is_refused(change_site) -> None:
    path = change_site(lambda site: site["cluster"].update(nccl_tests=["a\nb.log"]))
    assert refusal(path).startswith("cluster.nccl_tests[0]: a path has no line ends and no control characters")


def test_several_problems_are_counted(change_site) -> None:
    assert refusal(change_site(lambda site: site["cluster"].update(nodes=0, gpus_per_node=0))).endswith("(and 1 more)")


def test_another_schema_is_refused(change_site) -> None:
    path = change_site(lambda site: site.update(schema="ferry/site/v2"))
    with pytest.raises(UnknownSchema, match="schema is 'ferry/site/v2', this Ferry reads 'ferry/site/v1'"):
        read_site(path)


@pytest.mark.parametrize("text", ["a: [1", "- 1\n", "", "a: b: c", "\t- x"])
def test_what_is_not_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableInput) as refused:
        read_site(path)
    assert "\n" not in str(refused.value)


def test_costs_that_are_left_out_stay_unknown(change_site) -> None:
    site = read_site(change_site(lambda site: site.update(costs={"currency": "CNY"})))
    assert site.costs.nvme_array is None
    assert site.costs.servers.price_each is None


def test_the_committed_json_schema_is_current() -> None:
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == json_schema(), (
        'stale: python -c "from ferry.assess.site import write_schema; write_schema()"'
    )


def test_the_json_schema_accepts_the_example_and_refuses_an_unknown_key() -> None:
    document = json.loads(json.dumps(yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")), default=str))
    validator = jsonschema.Draft202012Validator(json_schema())
    assert list(validator.iter_errors(document)) == []
    document["cluster"]["gpu"] = 1
    assert [error.json_path for error in validator.iter_errors(document)] == ["$.cluster"]


def test_the_example_refers_to_the_json_schema() -> None:
    comment = EXAMPLE.read_text(encoding="utf-8").splitlines()[0]
    reference = comment.removeprefix("# yaml-language-server: $schema=")
    assert (EXAMPLE.parent / reference).resolve() == SCHEMA_FILE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
DOCUMENT = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
KEYS = ["name", "location", "cluster", "serving", "training", "costs", "constraints"]


@settings(deadline=None, max_examples=100)
@given(key=st.sampled_from(KEYS), value=JSON)
def test_no_value_anywhere_ends_in_a_traceback(tmp_path_factory, key: str, value: object) -> None:
    document = DOCUMENT | {key: value}
    path = tmp_path_factory.mktemp("site") / "site.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    message = ""
    try:
        read_site(path)
    except FerryError as error:
        message = str(error)
    assert "\n" not in message
