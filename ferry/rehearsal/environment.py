"""The environment of the embedded account: what leads a tool to it, and what is kept from leading anywhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping

ACCOUNT_ID = "123456789012"
"""The account that moto answers for when the access key names no other."""

ACCESS_KEY = "rehearsal"
SECRET_KEY = "rehearsal"  # noqa: S105 (the embedded account checks no signature, and nothing is kept behind it)

NO_CONFIGURATION = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Keeps an SDK from the user's profiles and from a machine's own role."""


def variables(endpoint_url: str, region: str) -> dict[str, str]:
    """What an AWS tool needs in its environment to work on the embedded account and on no other."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        **NO_CONFIGURATION,
    }


def isolated(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what could lead to a real account, to another stack, or around the loopback."""
    foreign = ("AWS_", "PULUMI_", "MOTO_")
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(foreign) and not name.lower().endswith("_proxy")
    }
    return kept | NO_CONFIGURATION
