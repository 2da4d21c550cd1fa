"""Policy and compliance as code: rules on what a stack asks for, and what they prove of MLPS 2.0 (等保2.0), level 3.

resource   what rules look at          rule       what a rule is, and what all of them see in a stack
rules/     the rules, by subject       documents  IAM policy documents as rules want them
catalogue  the clauses of the standard assessment clause by clause, computed from what proves each
account/   a live account as resources pack       the rules as a Pulumi policy pack
"""

from ferry.compliance import rules
from ferry.compliance.evidence import judged
from ferry.compliance.resource import Context, Profile, Resource, Seen
from ferry.compliance.rule import RULES, Answer, ResourceRule, Rule, StackRule, answers, broken

__all__ = [
    "RULES",
    "Answer",
    "Context",
    "Profile",
    "Resource",
    "ResourceRule",
    "Rule",
    "Seen",
    "StackRule",
    "answers",
    "broken",
    "judged",
    "rules",
]
