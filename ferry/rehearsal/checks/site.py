"""What has to be true of what comes from home: who may push which models, and how DataSync fills the bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ferry.rehearsal.checks import Seen, Stack, check, roles
from ferry.rehearsal.checks.roles import NOTHING, only_if
from ferry.rehearsal.handlers import Account

NEVER = (
    "s3:BypassGovernanceRetention",
    "s3:DeleteBucketPolicy",
    "s3:DeleteObjectVersion",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutBucketPolicy",
    "s3:PutBucketVersioning",
    "s3:PutLifecycleConfiguration",
    "s3:PutObjectRetention",
    "s3:PutReplicationConfiguration",
)
"""By which a pusher could delete for good after all."""


@check
def only_the_sites_certificates_take_its_role(account: Account, stack: Stack) -> Iterator[Seen]:
    """Those of the stack's subjects, below its trust anchor; where it names none, no role is for Roles Anywhere.

    moto has no Roles Anywhere, so anchor and profile are not looked at: the role's trust policy decides.
    """
    site, found = stack.settings.site_identity, roles.trusted_by(account, "rolesanywhere.amazonaws.com")
    if site is None:
        yield Seen("the stack", "no role for Roles Anywhere", ", ".join(found) or "no role for Roles Anywhere")
        return
    role = _name(stack.outputs["site_role_arn"])
    expected = {
        "Effect": "Allow",
        "Principal": {"Service": "rolesanywhere.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"],
        "Condition": {
            "StringEquals": {"aws:PrincipalTag/x509Subject/CN": site.subjects},
            "ArnEquals": {"aws:SourceArn": stack.outputs["site_trust_anchor_arn"]},
        },
    }
    yield Seen(role, json.dumps([expected], sort_keys=True), json.dumps(roles.trust(account, role), sort_keys=True))
    yield Seen("roles for Roles Anywhere", role, ", ".join(found))


@check
def the_site_may_push_its_models_and_nothing_else(account: Account, stack: Stack) -> Iterator[Seen]:
    """The permissions of its role, each an action on a resource; of the archive, its gateways' request log alone."""
    site = stack.settings.site_identity
    if site is None:
        yield Seen(
            "the stack", "no site identity", "a role" if "site_role_arn" in stack.outputs else "no site identity"
        )
        return
    bucket = _model_bucket(account, stack)
    versions = [f"{bucket}/models/{model}/*" for model in site.models]
    channels = [f"{bucket}/channels/{model}/*" for model in site.models]
    prefixes = [f"{kind}/{model}/*" for kind in ("models", "channels") for model in site.models]
    needed = {
        "s3:GetObject": [*versions, *channels],
        "s3:PutObject": [*versions, *channels],
        "s3:DeleteObject": versions,
        "s3:AbortMultipartUpload": versions,
        "s3:ListMultipartUploadParts": versions,
        "s3:ListBucket": [bucket + only_if({"StringLike": {"s3:prefix": prefixes}})],
        "s3:ListBucketMultipartUploads": [bucket],
        "s3:GetBucketVersioning": [bucket],
        **_key_use(account, stack),
    }
    if site.signing_key_arn is not None:
        needed |= {"kms:GetPublicKey": [site.signing_key_arn], "kms:Sign": [site.signing_key_arn]}
    wanted = _each(needed) | _each(_request_log(account, stack, site.gateways))
    role = _name(stack.outputs["site_role_arn"])
    yield Seen(role, NOTHING, roles.compared(wanted, roles.granted(account, role)))


@check
def the_site_cannot_weaken_the_model_bucket(account: Account, stack: Stack) -> Iterator[Seen]:
    """Denied to its role by name, so that a wider policy that somebody attaches later does not give it.

    The archive, too, where its gateways ship to it.
    """
    if stack.settings.site_identity is None:
        yield Seen(
            "the stack", "no site identity", "a role" if "site_role_arn" in stack.outputs else "no site identity"
        )
        return
    role, bucket = _name(stack.outputs["site_role_arn"]), _model_bucket(account, stack)
    never = _each({action: [bucket, f"{bucket}/*"] for action in NEVER})
    if stack.settings.site_identity.gateways:
        archive = _archive(account, stack)
        never |= _each({action: [archive, f"{archive}/*"] for action in ("s3:DeleteObject", *NEVER)})
    missing = never - roles.refused(account, role)
    yield Seen(role, "all refused", f"not refused: {'; '.join(sorted(missing))}" if missing else "all refused")


@check
def data_sync_fills_one_version_and_verifies_it(account: Account, stack: Stack) -> Iterator[Seen]:
    """From the stack's export to the stack's version: nothing overwritten, nothing deleted, what was sent compared."""
    sync, client = stack.settings.data_sync, account.client("datasync")
    tasks = client.list_tasks()["Tasks"]
    if sync is None:
        yield Seen("the stack", "no task", f"{len(tasks)} tasks" if tasks else "no task")
        return
    task = client.describe_task(TaskArn=stack.outputs["data_sync_task_arn"])
    source = client.describe_location_nfs(LocationArn=task["SourceLocationArn"])
    options, name = task["Options"], task["Name"]
    yield Seen(
        name,
        f"nfs://{sync.nfs_server}{sync.nfs_path} by {', '.join(sync.agent_arns)}",
        f"{source['LocationUri']} by {', '.join(source['OnPremConfig']['AgentArns'])}",
    )
    destination = client.describe_location_s3(LocationArn=task["DestinationLocationArn"])
    bucket = stack.outputs["model_bucket"]
    yield Seen(
        name,
        f"s3://{bucket}/models/{sync.model}/{sync.version}/",
        # moto joins bucket and subdirectory with a slash of its own.
        destination["LocationUri"].replace(f"{bucket}//", f"{bucket}/"),
    )
    yield Seen(
        name,
        "verify ONLY_FILES_TRANSFERRED, overwrite NEVER, deleted PRESERVE",
        f"verify {options.get('VerifyMode')}, overwrite {options.get('OverwriteMode')}, "
        f"deleted {options.get('PreserveDeletedFiles')}",
    )


@check
def data_sync_writes_nowhere_else(account: Account, stack: Stack) -> Iterator[Seen]:
    """The permissions of the role that it writes with."""
    sync = stack.settings.data_sync
    if sync is None:
        found = roles.trusted_by(account, "datasync.amazonaws.com")
        yield Seen("the stack", "no role for DataSync", ", ".join(found) or "no role for DataSync")
        return
    client = account.client("datasync")
    task = client.describe_task(TaskArn=stack.outputs["data_sync_task_arn"])
    location = client.describe_location_s3(LocationArn=task["DestinationLocationArn"])
    role, bucket = _name(location["S3Config"]["BucketAccessRoleArn"]), _model_bucket(account, stack)
    files = [f"{bucket}/models/{sync.model}/{sync.version}/*"]
    needed = {
        **{f"s3:{action}": [bucket] for action in ("GetBucketLocation", "ListBucket", "ListBucketMultipartUploads")},
        **{
            f"s3:{action}": files
            for action in (
                "AbortMultipartUpload",
                "DeleteObject",
                "GetObject",
                "GetObjectTagging",
                "GetObjectVersion",
                "GetObjectVersionTagging",
                "ListMultipartUploadParts",
                "PutObject",
                "PutObjectTagging",
            )
        },
        **_key_use(account, stack),
    }
    yield Seen(role, NOTHING, roles.compared(_each(needed), roles.granted(account, role)))
    expected = {
        "StringEquals": {"aws:SourceAccount": account.account_id},
        "ArnLike": {"aws:SourceArn": f"arn:{account.partition}:datasync:{account.region}:{account.account_id}:*"},
    }
    conditions = [statement.get("Condition", {}) for statement in roles.trust(account, role)]
    yield Seen(role, json.dumps([expected], sort_keys=True), json.dumps(conditions, sort_keys=True))


def _model_bucket(account: Account, stack: Stack) -> str:
    return f"arn:{account.partition}:s3:::{stack.outputs['model_bucket']}"


def _archive(account: Account, stack: Stack) -> str:
    return f"arn:{account.partition}:s3:::{stack.outputs['audit_bucket']}"


def _request_log(account: Account, stack: Stack, gateways: list[str]) -> dict[str, list[str]]:
    if not gateways:
        return {}
    bucket = _archive(account, stack)
    objects = [f"{bucket}/requests/{gateway}/*" for gateway in gateways]
    prefixes = [f"requests/{gateway}/*" for gateway in gateways]
    return {
        "s3:GetObject": objects,
        "s3:PutObject": objects,
        "s3:ListBucket": [bucket + only_if({"StringLike": {"s3:prefix": prefixes}})],
        **_key_use(account, stack, "audit_key_arn"),
    }


def _key_use(account: Account, stack: Stack, key_output: str = "model_key_arn") -> dict[str, list[str]]:
    s3 = f"s3.{account.region}.amazonaws.com{'.cn' if account.partition == 'aws-cn' else ''}"
    key = stack.outputs[key_output] + only_if({"StringEquals": {"kms:ViaService": s3}})
    return {"kms:Decrypt": [key], "kms:GenerateDataKey": [key]}


def _each(actions: dict[str, list[str]]) -> set[str]:
    return {f"{action} on {resource}" for action, resources in actions.items() for resource in resources}


def _name(role_arn: str) -> str:
    return role_arn.rpartition("/")[2]
