from __future__ import annotations

from components.identity import Identity

NINGXIA = Identity("111122223333", "aws-cn", "cn-northwest-1")


def test_an_arn_names_partition_region_and_account() -> None:
    assert NINGXIA.arn("kms", "key/1") == "arn:aws-cn:kms:cn-northwest-1:111122223333:key/1"
    assert NINGXIA.arn("iam", "role/r", region=False) == "arn:aws-cn:iam::111122223333:role/r"
    assert NINGXIA.arn("s3", "b", region=False, account=False) == "arn:aws-cn:s3:::b"


def test_the_account_as_a_principal_is_its_root() -> None:
    assert NINGXIA.root == "arn:aws-cn:iam::111122223333:root"


def test_china_has_a_domain_of_its_own() -> None:
    assert NINGXIA.dns_suffix == "amazonaws.com.cn"
    assert Identity("1", "aws-us-gov", "us-gov-west-1").dns_suffix == "amazonaws.com"


def test_another_region_keeps_account_and_partition() -> None:
    assert NINGXIA.within("cn-north-1") == Identity("111122223333", "aws-cn", "cn-north-1")
