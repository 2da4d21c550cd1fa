"""KMS keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Absent, Account, Created, Inputs, State, creates, deletes, reads, updates


@creates("aws:kms/key:Key", fixed=("keyUsage", "customerMasterKeySpec", "multiRegion", "customKeyStoreId"))
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


@updates("aws:kms/key:Key", "description", "policy", "enableKeyRotation", "deletionWindowInDays")
def key_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """One call for each of them; the window is only seen when the key is deleted."""
    kms = account.client("kms", old.region)
    kms.update_key_description(KeyId=old.id, Description=new.take("description", ""))
    if policy := new.take("policy"):
        kms.put_key_policy(KeyId=old.id, PolicyName="default", Policy=policy)
    rotated = new.take("enableKeyRotation", False)
    (kms.enable_key_rotation if rotated else kms.disable_key_rotation)(KeyId=old.id)
    return {}


@reads("aws:kms/key:Key")
def read_key(account: Account, state: State) -> Mapping[str, Any]:
    """A key that waits for its deletion counts as gone."""
    kms = account.client("kms", state.region)
    found = kms.describe_key(KeyId=state.id)["KeyMetadata"]
    if found["KeyState"] == "PendingDeletion":
        raise Absent
    return {
        "description": found["Description"],
        "keyUsage": found["KeyUsage"],
        "customerMasterKeySpec": found["KeySpec"],
        "policy": kms.get_key_policy(KeyId=state.id, PolicyName="default")["Policy"],
        "enableKeyRotation": kms.get_key_rotation_status(KeyId=state.id)["KeyRotationEnabled"],
        "tags": {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=state.id)["Tags"]},
    }


@deletes("aws:kms/key:Key")
def delete_key(account: Account, state: State) -> None:
    """`ScheduleKeyDeletion`: the key is unusable at once, and gone after the window."""
    account.client("kms", state.region).schedule_key_deletion(
        KeyId=state.id, PendingWindowInDays=int(state.get("deletionWindowInDays", 30))
    )
