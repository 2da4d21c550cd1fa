"""Who the program acts for: account, partition and region, and the ARNs that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pulumi_aws as aws

from stacks import rules


@dataclass(frozen=True)
class Identity:
    """An AWS account in one partition, seen from one region."""

    account_id: str
    partition: str
    region: str

    @classmethod
    def of_caller(cls, region: str) -> Identity:
        """The account that the program's credentials belong to."""
        return cls(aws.get_caller_identity().account_id, rules.partition(region), region)

    @property
    def dns_suffix(self) -> str:
        """Domain of the partition's endpoints and of the service principals that carry a region."""
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    @property
    def root(self) -> str:
        """The account itself as a principal: its own IAM policies decide."""
        return self.arn("iam", "root", region=False)

    def arn(self, service: str, resource: str, *, region: bool = True, account: bool = True) -> str:
        """An ARN in this partition. Global services carry no region, S3 carries neither region nor account."""
        return ":".join(
            (
                "arn",
                self.partition,
                service,
                self.region if region else "",
                self.account_id if account else "",
                resource,
            )
        )

    def within(self, region: str) -> Identity:
        """The same account, seen from another region of the partition."""
        return replace(self, region=region)
