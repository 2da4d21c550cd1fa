"""ACM: the certificate that the gateway looks up; nothing creates one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.errors import RehearsalError
from ferry.rehearsal.handlers import Account, Inputs, answers


@answers("aws:acm/getCertificate:getCertificate")
def get_certificate(account: Account, inputs: Inputs) -> Mapping[str, Any]:
    """`ListCertificates` by status and key type, then the newest one for exactly this domain."""
    domain, region = inputs.take("domain"), inputs.region or account.region
    acm = account.client("acm", region)
    statuses = inputs.take("statuses", ["ISSUED"])
    pages = acm.get_paginator("list_certificates").paginate(
        CertificateStatuses=statuses, Includes={"keyTypes": inputs.take("keyTypes", ["RSA_2048"])}
    )
    found = [
        acm.describe_certificate(CertificateArn=summary["CertificateArn"])["Certificate"]
        for page in pages
        for summary in page["CertificateSummaryList"]
        if summary["DomainName"] == domain
    ]
    newest_only = inputs.take("mostRecent", False)
    if not found or (len(found) > 1 and not newest_only):
        raise RehearsalError(
            f"gateway.domain_name is {domain}: {len(found)} certificates with status {' or '.join(statuses)} in ACM in "
            f"{region}, 1 is needed"
        )
    certificate = max(found, key=lambda one: one["NotBefore"])
    return {
        "id": certificate["CertificateArn"],
        "arn": certificate["CertificateArn"],
        "domain": domain,
        "status": certificate["Status"],
        "region": region,
    }
