"""Clause by clause: what the evidence proves. A status is computed from the proofs that name a clause, and only so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ferry.artefacts import Check, Compliance, PolicyAnswer, PolicySeen, Upstream, now
from ferry.artefacts.compliance import ClauseProof, ClauseResult, ClauseStatus, ProofState
from ferry.compliance.catalogue import Clause, Proof, clauses, proofs
from ferry.compliance.resource import Profile

STANDARD = "GB/T 22239-2019, 8 (第三级安全要求)"


@dataclass(frozen=True)
class Subject:
    """What is judged: what a plan asks for, what a rehearsal left, or a live account."""

    judged: Literal["plan", "rehearsal", "account"]
    at: datetime
    environment: str
    region: str
    policies: Sequence[PolicyAnswer]
    checks: Sequence[Check] | None
    """Of a rehearsal; None where checks are not run, on a plan and on an account."""


def judge(subject: Subject, profile: Profile, made_from: Sequence[Upstream] = ()) -> Compliance:
    """Every clause of the standard, with its status and its evidence."""
    evidence = _evidence(subject)
    return Compliance(
        schema_=Compliance.SCHEMA,
        made_at=now(),
        made_from=list(made_from),
        profile=profile,
        standard=STANDARD,
        judged=subject.judged,
        judged_at=subject.at,
        environment=subject.environment,
        region=subject.region,
        clauses=[_result(one, evidence, checks_run=subject.checks is not None) for one in clauses()],
    )


Evidence = Mapping[tuple[str, str], Sequence[PolicySeen]]


def _evidence(subject: Subject) -> Evidence:
    """What was seen, by kind and name of what saw it."""
    found: dict[tuple[str, str], list[PolicySeen]] = {
        ("policy", answer.rule): list(answer.seen) for answer in subject.policies
    }
    for check in subject.checks or ():
        found.setdefault(("check", check.name), []).append(
            PolicySeen(
                resource=check.resource,
                property="account",
                value=check.found,
                ok=check.passed,
                sha256=hashlib.sha256(json.dumps(check.model_dump(), sort_keys=True).encode()).hexdigest(),
            )
        )
    return found


def _result(clause: Clause, evidence: Evidence, *, checks_run: bool) -> ClauseResult:
    given = [_proof(one, evidence) for one in proofs(clause.clause)] if clause.whose == "checked" else []
    return ClauseResult(
        **clause.model_dump(exclude={"whose"}),
        status=_status(clause, given, checks_run=checks_run),
        proofs=given,
    )


def _proof(proof: Proof, evidence: Evidence) -> ClauseProof:
    seen = evidence.get((proof.kind, proof.name))
    state: ProofState
    if seen is None:
        state = "not run"
    elif not seen:
        state = "nothing to look at"
    else:
        state = "holds" if all(one.ok for one in seen) else "broken"
    return ClauseProof(
        kind=proof.kind,
        name=proof.name,
        says_zh=proof.says_zh,
        says_en=proof.says_en,
        state=state,
        evidence=list(seen or ()),
    )


def _status(clause: Clause, given: Sequence[ClauseProof], *, checks_run: bool) -> ClauseStatus:
    """Met is what all proofs show, and the clause asks for no more.

    One broken proof is enough against it. A proof that should have run and did not leaves the clause not proven, and
    one that had nothing to look at, or belongs to a rehearsal where none was made, leaves a part of it open.
    """
    if clause.whose != "checked":
        return clause.whose
    states = {(one.kind, one.state) for one in given}
    if any(state == "broken" for _, state in states):
        return "not met"
    missing = ("policy", "not run") in states or (checks_run and ("check", "not run") in states)
    if missing or not any(state == "holds" for _, state in states):
        return "not proven"
    whole = all(state == "holds" for _, state in states) and not clause.rest_en
    return "met" if whole else "met in part"
