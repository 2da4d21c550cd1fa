"""Where a node gets what a patch scan takes, and which baseline is its own: pure functions of region and image."""

from __future__ import annotations

SCRIPT_SUFFIXES = {
    "af-south-1": "bdd5f65a9",
    "ap-east-1": "632356271",
    "ap-northeast-1": "4849fa78f",
    "ap-northeast-2": "10467995c",
    "ap-northeast-3": "67373598a",
    "ap-south-1": "cb7c62ff9",
    "ap-south-2": "32f4b4128",
    "ap-southeast-1": "7fdfd9ef7",
    "ap-southeast-2": "17283a275",
    "ap-southeast-3": "aa48fc462",
    "ap-southeast-4": "01e2c40d3",
    "ca-central-1": "3148e69e3",
    "ca-west-1": "9e3a4b2f9",
    "eu-central-1": "9163fdaaf",
    "eu-central-2": "184ce43c8",
    "eu-north-1": "795879e9b",
    "eu-south-1": "c52f3f594",
    "eu-south-2": "a4cf248b1",
    "eu-west-1": "5522fb710",
    "eu-west-2": "902a2bc74",
    "eu-west-3": "29bf85721",
    "il-central-1": "e221cb57b",
    "me-central-1": "2932f2f80",
    "me-south-1": "a53fc9dce",
    "sa-east-1": "ddf4b6a09",
    "us-east-1": "1970c647d",
    "us-east-2": "552881074",
    "us-west-1": "8badb4304",
    "us-west-2": "34d7f99f8",
}
"""Of the bucket `aws-patch-manager-<region>-<suffix>`, which holds the scripts of `AWS-RunPatchBaseline`.

A pattern instead would let a node read a bucket that somebody else has given such a name, and carry data out by what
it asks for there. The page lists no region of China and none of GovCloud.
https://docs.aws.amazon.com/systems-manager/latest/userguide/patch-operations-s3-buckets.html
"""
SNAPSHOT_SUFFIXES = {
    "af-south-1": "-tbxdb5b9",
    "ap-south-2": "-50209442",
    "ap-southeast-3": "-be0a3174",
    "ap-southeast-4": "-dc6f76ce",
    "eu-south-2": "-df2c9d70",
    "me-south-1": "-uduvl7q8",
}
"""Of the bucket `patch-baseline-snapshot-<region>`, where it has one. From the same page."""

SYSTEMS = {"ubuntu": "UBUNTU", "amazon-linux-2023": "AMAZON_LINUX_2023", "al2023": "AMAZON_LINUX_2023"}
"""Words in the name of an image's SSM parameter to Systems Manager's name of the operating system."""


def patch_buckets(region: str, script_bucket: str | None) -> list[str]:
    """AWS's own buckets that a scan reads. Where the scripts' bucket is not known, it is the one given, or left out."""
    known = SCRIPT_SUFFIXES.get(region)
    scripts = script_bucket or (f"aws-patch-manager-{region}-{known}" if known else None)
    snapshots = f"patch-baseline-snapshot-{region}{SNAPSHOT_SUFFIXES.get(region, '')}"
    return [*([scripts] if scripts else []), f"aws-ssm-{region}", snapshots]


def operating_system(ami_parameter: str) -> str | None:
    """Operating system of an image, by the name of its SSM parameter; None where the name does not say it."""
    return next((system for word, system in SYSTEMS.items() if word in ami_parameter), None)


def patch_group(environment: str, system: str) -> str:
    """Name of the patch group of an environment's nodes that run this operating system."""
    return f"ferry-{environment}-{system.lower().replace('_', '-')}"


def patch_tags(environment: str, ami_parameter: str) -> dict[str, str]:
    """What ties nodes to their baseline. Without it AWS's own baseline of their operating system holds.

    The key without a space is taken whether tags are in the instance metadata or not:
    https://docs.aws.amazon.com/systems-manager/latest/userguide/patch-manager-patch-groups.html
    """
    system = operating_system(ami_parameter)
    return {"PatchGroup": patch_group(environment, system)} if system else {}
