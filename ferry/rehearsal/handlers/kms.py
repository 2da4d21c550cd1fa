"""KMS keys."""

from __future__ import annotations

from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, creates


@creates("aws:kms/key:Key")
def key(account: Account, inputs: Inputs) -> Created:
    """A key with its policy; rotation is switched on in a second call."""
    kms = account.client("kms", inputs.region)
    request: dict[str, Any] = {
        "KeyUsage": inputs.take("keyUsage", "ENCRYPT_DECRYPT"),
        "KeySpec": inputs.take("customerMasterKeySpec", "SYMMETRIC_DEFAULT"),
        "Description": inputs.take("description", ""),
        "Tags": [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in inputs.tags()],
    }
    if policy := inputs.take("policy"):
        request["Policy"] = policy
    made = kms.create_key(**request)["KeyMetadata"]
    if inputs.take("enableKeyRotation", False):
        kms.enable_key_rotation(KeyId=made["KeyId"])
    inputs.skip("deletionWindowInDays", "concerns deletion only")
    return Created(made["KeyId"], {"arn": made["Arn"], "keyId": made["KeyId"]})
