"""A clause is what its proofs show: no more, and nothing at all when one of them did not run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ferry.artefacts import Check, PolicyAnswer
from ferry.compliance import RULES, Context, Resource, judged
from ferry.compliance.catalogue import checks, clauses, proofs
from ferry.compliance.judgement import Subject, judge
from ferry.compliance.page import page

Stack = Callable[[str], tuple[list[Resource], Context]]

CHECKED = [one.clause for one in clauses() if one.whose == "checked"]
PROVEN = [one for one in CHECKED if proofs(one)]


@pytest.fixture
def subject(stack: Stack) -> Subject:
    resources, context = stack("prod-cn")
    passed = [Check(name=name, passed=True, resource="r", expected="as it is", found="as it is") for name in checks()]
    at = datetime(2026, 11, 24, 8, tzinfo=UTC)
    return Subject("rehearsal", at, "prod-cn", context.region, judged(resources, context), passed)


def status(subject: Subject, clause: str) -> str:
    return next(one.status for one in judge(subject, "mlps-l3").clauses if one.clause == clause)


def test_the_clauses_stand_as_their_proofs_do(subject: Subject) -> None:
    judgement = judge(subject, "mlps-l3")
    assert not judgement.broken
    assert [one.clause for one in judgement.of_status("met")] == [
        "8.1.2.1 c/d",
        "8.1.4.3 b",
        "8.1.4.9 c",
        "8.2.1.1",
        "8.2.3.1",
    ]
    assert [one.clause for one in judgement.of_status("not proven")] == [one for one in CHECKED if one not in PROVEN]
    assert all(one.why_zh and one.why_en for one in judgement.of_status("organisation"))
    assert [one.clause for one in judgement.of_status("not applicable")] == ["8.3", "8.4", "8.5"]


@pytest.mark.parametrize("clause", PROVEN)
def test_a_clause_whose_proof_is_taken_away_turns_to_not_proven(subject: Subject, clause: str) -> None:
    assert status(subject, clause) in ("met", "met in part")
    for proof in proofs(clause):
        policies = [one for one in subject.policies if one.rule != proof.name]
        rest = [one for one in subject.checks or () if one.name != proof.name]
        assert status(replace(subject, policies=policies, checks=rest), clause) == "not proven"


def test_a_rule_that_is_unregistered_proves_its_clauses_no_more(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(RULES, "bucket-has-public-access-block")
    assert "bucket-has-public-access-block" not in [one.name for one in proofs("8.1.4.2 e-g")]
    for only in [one.id for one in RULES.values() if "8.2.1.1" in one.clauses]:
        monkeypatch.delitem(RULES, only)
    assert status(subject, "8.2.1.1") == "not proven"


def test_one_broken_proof_is_enough_against_a_clause(subject: Subject) -> None:
    checks_ = [replaced(one, "nodes have no route to the internet") for one in subject.checks or ()]
    assert status(replace(subject, checks=checks_), "8.1.2.1 c/d") == "not met"
    assert judge(replace(subject, checks=checks_), "mlps-l3").broken


def replaced(check: Check, name: str) -> Check:
    return check.model_copy(update={"passed": False}) if check.name == name else check


def test_a_proof_that_saw_nothing_leaves_a_part_open(subject: Subject) -> None:
    name = "nodes-in-private-subnets"
    policies = [PolicyAnswer(rule=name, seen=[]) if one.rule == name else one for one in subject.policies]
    assert status(replace(subject, policies=policies), "8.1.2.1 c/d") == "met in part"


def test_a_plan_is_not_told_to_have_passed_the_checks_of_a_rehearsal(subject: Subject) -> None:
    plan = replace(subject, judged="plan", checks=None)
    assert status(plan, "8.1.2.1 c/d") == "met in part"
    assert status(plan, "8.2.1.1") == "met"


def test_every_check_of_the_catalogue_is_one_of_the_rehearsal() -> None:
    import importlib
    import pkgutil

    from ferry.rehearsal import checks as package

    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    assert set(checks()) <= set(package.CHECKS)
    assert {one for _, named in checks().values() for one in named} <= set(CHECKED)


def test_every_text_of_the_catalogue_is_there_in_both_languages() -> None:
    for one in clauses():
        assert all([one.title_zh, one.title_en, one.requirement_zh, one.requirement_en, one.source])
        assert bool(one.why_zh) == bool(one.why_en) == (one.whose != "checked")
        assert bool(one.rest_zh) == bool(one.rest_en)
        assert one.basis in ("stated", "assumed")
        assert not {*",;:()"} & {*one.requirement_zh}
    assert len({one.clause for one in clauses()}) == len(clauses())


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("zh", ["8.1.4.3 c", "部分符合", "运营使用单位职责", "未证明", "不能替代由具备资质的测评机构"]),
        ("en", ["8.1.4.3 c", "met in part", "Proven in part", "No check proves this clause", "It is no evaluation"]),
    ],
)
def test_the_page_says_how_each_clause_stands_and_asks_nothing_of_any_server(
    subject: Subject, language: str, said: list[str]
) -> None:
    html = page(judge(subject, "mlps-l3"), language)  # type: ignore[arg-type]
    assert all(words in html for words in said)
    assert "http://" not in html
    assert "https://" not in html
    assert "<script" not in html


def test_what_a_resource_says_is_escaped_in_the_page(subject: Subject) -> None:
    seen = subject.policies[0].seen[0].model_copy(update={"value": "<script>alert(1)</script>", "ok": False})
    policies = [PolicyAnswer(rule=subject.policies[0].rule, seen=[seen]), *subject.policies[1:]]
    html = page(judge(replace(subject, policies=policies), "mlps-l3"), "en")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
