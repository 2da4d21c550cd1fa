from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.errors import InvalidField, RenderError, UnreadableInput
from ferry.render.stack_file import StackFile, dropped_versions, merge
from tests.plans import config

PATH = Path("stacks/Pulumi.qa.yaml")
STACK = """\
# Owned by the platform team.
encryptionsalt: v1:Zm9v=:v1:YmFy:YmF6==   # do not touch

secretsprovider: "awskms://alias/pulumi?region=us-east-1"
config:
  aws:region: 'us-west-2' # close to the office
  # --- what runs ---
  ferry:model_versions:
    - name: chat   # the only one
      model: old-model
      version: "1"
      engine: {name: vllm, image: "vllm:1", quantization: fp8}
      fleet:
        instance_types: [g5.xlarge]
        min_size: 1
        max_size: 2 # until the budget is approved
        schedules:
          - {name: night, recurrence: "0 22 * * *", time_zone: UTC, min_size: 0, max_size: 1}

  # --- the door ---
  ferry:gateway:
    allowed_cidrs: [ 203.0.113.10/32 ]   # the office
    domain_name: llm.office.example


  datadog:apiKey:
    secure: v1:AAAA:BBBB==
  other:note: >-
    a folded
    text
  ferry:monitoring:
    notification_emails: [ops@office.example]
  zeta:flag: yes
# the end
"""


def parsed(text: str) -> StackFile:
    return StackFile.parse(PATH, text)


def edited(text: str, decided: dict[str, Any]) -> str:
    stack = parsed(text)
    return stack.with_config(merge(stack.config, decided)).text


def difference(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[:3] not in ("---", "+++") and not line.startswith("@@")]


def test_only_the_lines_that_the_plan_decides_change() -> None:
    decided = config() | {"ferry:gateway": {"domain_name": "llm.site.example"}}
    assert difference(STACK, edited(STACK, decided)) == [
        "-  aws:region: 'us-west-2' # close to the office",
        "+  aws:region: 'us-east-1' # close to the office",
        "-      model: old-model",
        '-      version: "1"',
        '-      engine: {name: vllm, image: "vllm:1", quantization: fp8}',
        "+      model: qwen2-5-7b",
        '+      version: "2026-10-01"',
        '+      engine: {name: vllm, image: "vllm-openai:v0.33.0", max_sequences: 32}',
        "-        max_size: 2 # until the budget is approved",
        "+        max_size: 4 # until the budget is approved",
        "+        on_demand_base: 1",
        "+      weight: 100",
        "+    latency_p99_seconds: 20",
        '+    monthly_budget_usd: "9000"',
        "+  ferry:environment: qa",
    ]


def test_the_same_decisions_twice_change_nothing() -> None:
    once = edited(STACK, config())
    assert edited(once, config()) == once


def test_a_file_that_says_it_all_already_is_returned_as_it_is() -> None:
    strange = "config: # odd,  but mine\n      \"aws:region\":   'us-east-1'   \n\n\n"
    assert edited(strange, {"aws:region": "us-east-1"}) == strange


def test_line_ends_of_windows_stay() -> None:
    assert edited(STACK.replace("\n", "\r\n"), config()) == edited(STACK, config()).replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "config:\n  aws:region: eu-north-1\n"),
        ("# nothing yet\n", "# nothing yet\nconfig:\n  aws:region: eu-north-1\n"),
        ("encryptionsalt: v1:a", "encryptionsalt: v1:a\nconfig:\n  aws:region: eu-north-1\n"),
        ("config: {}\n", "config:\n  aws:region: eu-north-1\n"),
        ("config:\n", "config:\n  aws:region: eu-north-1\n"),
        ("config: {} # mine\nlast: 1\n", "config: # mine\n  aws:region: eu-north-1\nlast: 1\n"),
        ("config: null\r\n# end\r\n", "config:\r\n  aws:region: eu-north-1\r\n# end\r\n"),
        ("config:\n    a:b: c", "config:\n    a:b: c\n    aws:region: eu-north-1\n"),
        (
            "config:\n  a:b: |+\n    text\n\nlast: 1\n",
            "config:\n  a:b: |+\n    text\n  aws:region: eu-north-1\n\nlast: 1\n",
        ),
    ],
)
def test_a_new_key_goes_to_the_end_of_config(text: str, expected: str) -> None:
    if "|+" in text:
        with pytest.raises(RenderError, match="would change other keys"):
            edited(text, {"aws:region": "eu-north-1"})
    else:
        assert edited(text, {"aws:region": "eu-north-1"}) == expected


@pytest.mark.parametrize(
    "value", ["2026-10-01", "on", "12:30", "1_000", "0x10", "null", "a: b", "# c", "-----\nx\n", "ü"]
)
def test_text_stays_text_whatever_it_looks_like(value: str) -> None:
    text = edited("config:\n  a:b: c\n", {"ferry:tags": {"value": value}})
    assert yaml.safe_load(text)["config"]["ferry:tags"] == {"value": value}


def test_a_sequence_keeps_the_indentation_that_the_file_uses() -> None:
    text = "config:\n  ferry:gateway:\n    allowed_cidrs:\n    - 10.0.0.0/8 # all\n    domain_name: a.example\n"
    assert edited(text, {"ferry:gateway": {"idle_timeout_seconds": 60}}) == text + "    idle_timeout_seconds: 60\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config: {a:b: c}\n", "stacks/Pulumi.qa.yaml: its layout cannot be edited in place"),
        ("config:\n  a:b: 1\n  a:b: 2\n", "stacks/Pulumi.qa.yaml: its layout cannot be edited in place"),
        ("config:\n  aws:region: &r us-west-2\n  other:region: *r\n", "an edit would change other keys"),
    ],
)
def test_a_layout_that_cannot_be_edited_safely_is_refused(text: str, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        edited(text, {"aws:region": "eu-north-1"})


@pytest.mark.parametrize("text", ["config: [1]\n", "- a\n", "a: [\n", "a: 1\n---\nb: 2\n"])
def test_what_is_no_stack_file_is_refused_on_one_line(text: str) -> None:
    with pytest.raises(UnreadableInput) as caught:
        parsed(text)
    assert str(caught.value).startswith("stacks/Pulumi.qa.yaml: ")
    assert "\n" not in str(caught.value)


# ---- what meets what ----


def test_the_gateway_is_the_operators_and_the_plan_only_fills_in() -> None:
    present = {"ferry:gateway": {"domain_name": "mine.example", "allowed_cidrs": ["10.0.0.0/8"]}}
    decided = {"ferry:gateway": {"domain_name": "plan.example", "idle_timeout_seconds": 300}}
    assert merge(present, decided) == {
        "ferry:gateway": {"domain_name": "mine.example", "allowed_cidrs": ["10.0.0.0/8"], "idle_timeout_seconds": 300}
    }
    assert merge({}, decided) == decided


def test_a_network_that_stands_is_not_moved_by_a_plan() -> None:
    present = {"ferry:network": {"zone_count": 3, "cidr": "10.9.0.0/16"}}
    assert merge(present, {"ferry:network": {"zone_count": 2}}) == present


def test_other_sections_keep_what_the_plan_does_not_set() -> None:
    present = {
        "ferry:monitoring": {"notification_emails": ["a@b.example"], "latency_p99_seconds": 60},
        "ferry:network": {"cidr": "10.9.0.0/16"},
        "ferry:tags": {"owner": "me"},
    }
    assert merge(present, {"ferry:monitoring": {"latency_p99_seconds": 20}}) == {
        "ferry:monitoring": {"notification_emails": ["a@b.example"], "latency_p99_seconds": 20},
        "ferry:network": {"cidr": "10.9.0.0/16"},
        "ferry:tags": {"owner": "me"},
    }


def test_a_known_version_keeps_what_the_plan_does_not_set_but_not_its_engine() -> None:
    present = yaml.safe_load(STACK)["config"]
    (version,) = merge(present, config())["ferry:model_versions"]
    assert version["engine"] == {"name": "vllm", "image": "vllm-openai:v0.33.0", "max_sequences": 32}
    assert version["fleet"] == {
        "instance_types": ["g5.xlarge"],
        "min_size": 1,
        "max_size": 4,
        "on_demand_base": 1,
        "schedules": [{"name": "night", "recurrence": "0 22 * * *", "time_zone": "UTC", "min_size": 0, "max_size": 1}],
    }


def test_a_version_that_the_plan_does_not_know_is_dropped_and_named() -> None:
    present = {"ferry:model_versions": [{"name": "old", "weight": 100}, {"name": "chat", "weight": 50}]}
    merged = merge(present, config())
    assert [version["name"] for version in merged["ferry:model_versions"]] == ["chat"]
    assert dropped_versions(present, merged) == ["old"]


def test_present_values_are_not_changed_by_merging() -> None:
    present = yaml.safe_load(STACK)["config"]
    merge(present, config())
    assert present == yaml.safe_load(STACK)["config"]


# ---- what the program will see ----


def test_an_encrypted_value_does_not_stand_in_the_way() -> None:
    stack = parsed("config:\n  a:b: c\n")
    decided = config(monitoring={"notification_emails": [{"secure": "v1:x:y"}]})
    settings = stack.with_config(merge(stack.config, decided)).settings()
    assert settings.monitoring.notification_emails == ["[secure]"]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"scaling": {"scale_out_above": 0.2, "scale_in_below": 0.3}}, "scale"),
        ({"audit": {"retention_days": 180}}, "180"),
        ({"audit": {"retention": 184}}, "audit.retention: Extra inputs are not permitted"),
        ({"fleet": {"min_size": -1}}, "model_versions.0.fleet.min_size"),
    ],
)
def test_what_aws_or_the_law_refuses_is_one_line(changes: dict[str, Any], part: str) -> None:
    stack = parsed("")
    with pytest.raises(InvalidField) as caught:
        stack.with_config(merge(stack.config, config(**changes))).settings()
    message = str(caught.value)
    assert message.startswith("stacks/Pulumi.qa.yaml: ")
    assert part in message
    assert "\n" not in message


# ---- whatever else stands in the file ----

COMMENTS = st.sampled_from(["", "\n", "  # a note\n", "# at the margin\n", "\n    # deeper\n\n"])
FOREIGN = st.sampled_from(
    [
        "  app:plain: some words here\n",
        "  app:single: 'it''s'\n",
        '  "app:key": "a \\"b\\" # c"   # note\n',
        "  app:secret:\n    secure: v1:aGVsbG8=:d29ybGQ=\n",
        "  app:list:\n  - 1\n  -   two   # odd\n",
        "  app:deep:\n      a:\n          - b: [1,2,   3]\n            c: ~\n",
        "  app:literal: |\n    line one\n\n      line two # no comment\n",
        "  app:folded: >-\n    text\n    more\n",
        "  app:flow: {a: 1, b: {c: [x, y]},\n    d: 2}\n",
        "  app:empty:\n",
        "  app:bool: yes\n",
        "  app:octal: 0777\n",
        "  app:date: 2026-01-02\n",
        "  app:anchor: &here {a: 1}\n  app:alias: *here\n",
    ]
)
OURS = st.sampled_from(
    [
        "  aws:region: us-west-2 # r\n",
        "  ferry:environment: 'old'\n",
        "  ferry:monitoring:\n    # who\n    notification_emails: [a@b.example]\n",
        "  ferry:gateway: {domain_name: x.example}\n",
        "  ferry:model_versions:\n  - name: chat\n    engine: {name: vllm}\n",
        "  ferry:model_versions:\n    - {name: gone}\n    - name: other\n",
    ]
)
TOP = st.sampled_from(["", "encryptionsalt: v1:x=:v1:y\n", "# head\n\nsecretsprovider: 'passphrase'   # p\n"])


@st.composite
def stack_files(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A stack file, and the pieces of it that Ferry must not touch, in order."""

    def key(piece: str) -> str:
        return piece.split(": ")[0].split(":\n")[0].strip().strip('"')

    entries = [
        *((True, piece) for piece in draw(st.lists(FOREIGN, unique=True, max_size=6))),
        *((False, piece) for piece in draw(st.lists(OURS, unique_by=key, max_size=4))),
    ]
    head, tail = draw(TOP), draw(st.sampled_from(["", "# tail\n", "other: {a: 1}\n"]))
    text, untouched = f"{head}config:\n", [f"{head}config:\n"]
    for foreign, piece in draw(st.permutations(entries)):
        comment = draw(COMMENTS)
        text += comment + piece
        untouched += [comment, piece] if foreign else [comment]
    return text + tail, [*untouched, tail]


@settings(deadline=None, max_examples=60)
@given(stack_files())
def test_everything_that_is_not_ferrys_survives_byte_for_byte(made: tuple[str, list[str]]) -> None:
    text, untouched = made
    stack = parsed(text)
    merged = merge(stack.config, config())
    after = stack.with_config(merged)
    at = 0
    for piece in untouched:
        found = after.text.find(piece, at)
        assert found >= 0, (piece, after.text)
        at = found + len(piece)
    assert after.config == merged
    assert after.with_config(merge(after.config, config())).text == after.text
