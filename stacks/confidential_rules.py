"""Rules on confidential machines: where AWS has AMD SEV-SNP, and on what."""

from __future__ import annotations

from stacks.fleet_rules import family
from stacks.rule import rule

SEV_SNP = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/sev-snp.html"

TYPES = {
    "m6a": ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge"),
    "c6a": ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge"),
    "r6a": ("large", "xlarge", "2xlarge", "4xlarge"),
}
"""The sizes of each family that can be launched with SEV-SNP, all of them AMD EPYC of the third generation (Milan).

Compiled in November 2026 from the requirements on AWS's page, as github.com/canonical/ubuntu-cloud-docs repeats them
(aws/aws-how-to/instances/launch-and-attest-amd-sev-snp-instances.rst).
"""
REGIONS = ("eu-west-1", "us-east-2")
"""From the same two pages."""


@rule("sev-snp-type", SEV_SNP)
def sev_snp_type(*, instance_type: str) -> str | None:
    """AMD SEV-SNP exists on sizes of m6a, c6a and r6a only. No GPU instance has it."""
    name, _, size = instance_type.partition(".")
    sizes = TYPES.get(family(instance_type))
    if sizes is None:
        return (
            f"AMD SEV-SNP is asked of {instance_type}, allowed are {', '.join(TYPES)} (no GPU instance has it): choose "
            "one of them, or set confidential to false"
        )
    if size in sizes:
        return None
    return f"AMD SEV-SNP is asked of {instance_type}, allowed of {name} are {', '.join(sizes)}: choose one of these"


@rule("sev-snp-region", SEV_SNP)
def sev_snp_region(*, region: str) -> str | None:
    """AWS has AMD SEV-SNP in two regions, of which none lies in China."""
    if region in REGIONS:
        return None
    mainland = " (none of the mainland's has it, so a system that has to stay there has no confidential tier)"
    return (
        f"AMD SEV-SNP is asked for in {region}, allowed are {' and '.join(REGIONS)}"
        f"{mainland if region.startswith('cn-') else ''}: set confidential to false, or choose one of these regions"
    )
