"""The policy pack: `pulumi up --policy-pack policies`. The rules themselves, and what they are for, are Ferry's."""

from pulumi_policy import PolicyPack

from ferry.compliance.pack import NAME, policies

PolicyPack(NAME, policies())
