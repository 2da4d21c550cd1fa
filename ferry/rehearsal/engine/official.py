"""The official AWS plugin against the embedded account: the configuration that leads it there and nowhere else.

https://www.pulumi.com/registry/packages/aws/api-docs/provider/#inputs. The plugin has to be installed before, with
`pulumi plugin install resource aws <version>`; nothing is fetched during a rehearsal.
"""

from __future__ import annotations

from typing import Any

from ferry.rehearsal.environment import ACCESS_KEY, SECRET_KEY

SERVICES = (
    "acm",
    "autoscaling",
    "budgets",
    "cloudtrail",
    "cloudwatch",
    "datasync",
    "ec2",
    "elbv2",
    "events",
    "iam",
    "kms",
    "logs",
    "rolesanywhere",
    "route53",
    "s3",
    "s3control",
    "sns",
    "ssm",
    "sts",
)
"""What the program uses, by the plugin's names of its endpoints. One that is missing here would be asked in AWS."""


def configuration(endpoint_url: str) -> dict[str, Any]:
    """The keys under `aws:` that a stack file needs beside its region.

    The account's number is still asked for, since ARNs hold it: the embedded account answers that.
    """
    return {
        "aws:accessKey": ACCESS_KEY,
        "aws:secretKey": SECRET_KEY,
        "aws:endpoints": [dict.fromkeys(SERVICES, endpoint_url)],
        "aws:s3UsePathStyle": True,
        "aws:skipCredentialsValidation": True,
        "aws:skipMetadataApiCheck": True,
    }
