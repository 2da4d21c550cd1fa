from __future__ import annotations

import json
from typing import Any

from components import policies, site_policies
from components.data_sync import task_options
from components.identity import Identity
from components.site_identity import trust_source
from stacks.settings import SiteIdentitySettings

BEIJING = Identity("111122223333", "aws-cn", "cn-north-1")
BUCKET, KEY = "arn:aws-cn:s3:::models", "arn:aws-cn:kms:cn-north-1:111122223333:key/k"


def statements(text: str) -> dict[str, dict[str, Any]]:
    return {one.get("Sid", ""): one for one in json.loads(text)["Statement"]}


def test_a_pusher_writes_its_own_prefixes_and_deletes_no_version() -> None:
    found = statements(site_policies.pusher_rights(BEIJING, bucket_arn=BUCKET, key_arn=KEY, models=["a", "b"]))
    assert found["WriteOwnModels"]["Resource"] == [f"{BUCKET}/models/a/*", f"{BUCKET}/models/b/*"]
    assert found["PromoteOwnModels"]["Resource"] == [f"{BUCKET}/channels/a/*", f"{BUCKET}/channels/b/*"]
    assert found["ListOwnModels"]["Condition"] == {
        "StringLike": {"s3:prefix": ["models/a/*", "models/b/*", "channels/a/*", "channels/b/*"]}
    }
    assert found["UseKeyThroughS3"]["Condition"] == {
        "StringEquals": {"kms:ViaService": "s3.cn-north-1.amazonaws.com.cn"}
    }
    assert found["NeverWeaken"]["Effect"] == "Deny"
    assert {"s3:DeleteObjectVersion", "s3:PutLifecycleConfiguration", "s3:PutBucketVersioning"} <= {
        *found["NeverWeaken"]["Action"]
    }


def test_a_gateway_ships_its_own_log_and_deletes_nothing() -> None:
    found = {
        one["Sid"]: one
        for one in site_policies.request_log_rights(BEIJING, bucket_arn=BUCKET, key_arn=KEY, gateways=["home"])
    }
    assert found["ShipRequestLog"]["Resource"] == [f"{BUCKET}/requests/home/*"]
    assert found["FindEndOfRequestLog"]["Condition"] == {"StringLike": {"s3:prefix": ["requests/home/*"]}}
    assert {"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectRetention"} <= {
        *found["NeverWeakenArchive"]["Action"]
    }


def test_a_pusher_signs_with_the_one_key_that_it_is_named_for_and_with_none_otherwise() -> None:
    key = "arn:aws-cn:kms:cn-north-1:111122223333:key/s"
    given = {"bucket_arn": BUCKET, "key_arn": KEY, "models": ["a"]}
    signs = statements(site_policies.pusher_rights(BEIJING, **given, signing_key_arn=key))
    assert signs["SignModels"] == {
        "Sid": "SignModels",
        "Effect": "Allow",
        "Action": ["kms:GetPublicKey", "kms:Sign"],
        "Resource": key,
    }
    assert "SignModels" not in statements(site_policies.pusher_rights(BEIJING, **given))


def test_data_sync_of_another_account_cannot_borrow_the_role() -> None:
    (statement,) = json.loads(site_policies.data_sync_trust(BEIJING))["Statement"]
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "111122223333"},
        "ArnLike": {"aws:SourceArn": "arn:aws-cn:datasync:cn-north-1:111122223333:*"},
    }


def test_the_model_buckets_policy_refuses_to_delete_versions_to_everybody() -> None:
    refusal = statements(policies.model_bucket(BUCKET))["OnlyTheLifecycleDeletesVersions"]
    assert refusal == {
        "Sid": "OnlyTheLifecycleDeletesVersions",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObjectVersion",
        "Resource": f"{BUCKET}/*",
    }


def test_a_site_is_trusted_by_its_own_authority_or_by_a_private_ca() -> None:
    given = {"subjects": ["push-1"], "models": ["r1-32b"]}
    own = SiteIdentitySettings.model_validate({**given, "certificate_authority_pem": "PEM"})
    private = SiteIdentitySettings.model_validate({**given, "private_ca_arn": "arn"})
    assert trust_source(own) == {"source_type": "CERTIFICATE_BUNDLE", "source_data": {"x509_certificate_data": "PEM"}}
    assert trust_source(private) == {"source_type": "AWS_ACM_PCA", "source_data": {"acm_pca_arn": "arn"}}


def test_a_task_without_a_limit_takes_the_whole_uplink() -> None:
    assert task_options(None)["bytes_per_second"] == -1
    assert task_options(800)["bytes_per_second"] == 100_000_000
