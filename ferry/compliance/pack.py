"""The rules as policies of a Pulumi policy pack: `pulumi up --policy-pack policies`.

The engine asks about a resource before it creates or changes it, and about the whole stack at the end of a preview and
of an update. In a preview, what only AWS can answer is not known yet: pulumi-policy then says that a policy could not
run, and runs it during the update. `ferry rehearse` knows these values beforehand.
"""

from __future__ import annotations

from typing import Any

from pulumi.runtime.config import CONFIG
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyComplianceFramework,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from ferry.compliance.references import References, called
from ferry.compliance.resource import Context, Resource, Seen
from ferry.compliance.rule import RULES, ResourceRule, Rule, StackRule
from stacks.settings import Settings

NAME = "ferry"


def policies() -> list[Policy]:
    """One policy for each rule."""
    return [_of_resource(one) if isinstance(one, ResourceRule) else _of_stack(one) for one in RULES.values()]


def _of_resource(rule: ResourceRule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type in rule.types:
            resource = Resource(
                args.resource_type, args.name, args.props, id=args.urn, protected=bool(args.opts.protect)
            )
            for seen in rule.ask(resource, _context()):
                if not seen.ok:
                    report(_said(rule, seen), None)

    return ResourceValidationPolicy(validate=validate, **_described(rule))


def _of_stack(rule: StackRule) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        urns = {f"{one.resource_type} {one.name}": one.urn for one in args.resources}
        resources = [
            Resource(one.resource_type, one.name, References(one), id=called(one), protected=bool(one.opts.protect))
            for one in args.resources
            if one.resource_type.startswith("aws:")
        ]
        for seen in rule.ask(resources, _context()):
            if not seen.ok:
                report(_said(rule, seen), urns.get(seen.resource))

    return StackValidationPolicy(validate=validate, **_described(rule))


def _described(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.id,
        "description": rule.says,
        "enforcement_level": EnforcementLevel.MANDATORY if rule.level == "mandatory" else EnforcementLevel.ADVISORY,
        "framework": PolicyComplianceFramework(
            name="MLPS 2.0", version="GB/T 22239-2019", specification=", ".join(rule.clauses)
        ),
        "remediation_steps": rule.remedy,
    }


def _said(rule: Rule, seen: Seen) -> str:
    return (
        f"{seen.resource} has {seen.property} {seen.value}: {rule.remedy} (GB/T 22239-2019 {', '.join(rule.clauses)})"
    )


def _context() -> Context:
    return Context.of(Settings.from_config(CONFIG.get()))
