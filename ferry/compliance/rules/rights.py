"""Who may what: no more than needed, and with credentials that do not last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ferry.compliance.documents import ANYBODY, Statement, statements
from ferry.compliance.resource import Context, Resource, Seen
from ferry.compliance.rule import rule

FULL_ACCESS = ("AdministratorAccess", "PowerUserAccess", "IAMFullAccess", "FullAccess")
REQUIRED_TAGS = ("ferry:environment", "project", "owner")

TAGGABLE = (
    "aws:autoscaling/group:Group",
    "aws:budgets/budget:Budget",
    "aws:cloudtrail/trail:Trail",
    "aws:cloudwatch/eventRule:EventRule",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:cloudwatch/metricAlarm:MetricAlarm",
    "aws:datasync/task:Task",
    "aws:ec2/instance:Instance",
    "aws:ec2/internetGateway:InternetGateway",
    "aws:ec2/launchTemplate:LaunchTemplate",
    "aws:ec2/routeTable:RouteTable",
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:ec2/subnet:Subnet",
    "aws:ec2/vpc:Vpc",
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "aws:iam/role:Role",
    "aws:kms/key:Key",
    "aws:lb/listener:Listener",
    "aws:lb/loadBalancer:LoadBalancer",
    "aws:lb/targetGroup:TargetGroup",
    "aws:rolesanywhere/profile:Profile",
    "aws:rolesanywhere/trustAnchor:TrustAnchor",
    "aws:s3/bucket:Bucket",
    "aws:sns/topic:Topic",
    "aws:ssm/maintenanceWindow:MaintenanceWindow",
    "aws:ssm/patchBaseline:PatchBaseline",
)


@rule(
    "no-long-lived-credentials",
    zh="不创建 IAM 用户、访问密钥、登录口令或 SSH 密钥对",
    clauses=["8.1.4.1 a", "8.1.4.2 a-d"],
    types=[
        "aws:iam/user:User",
        "aws:iam/accessKey:AccessKey",
        "aws:iam/userLoginProfile:UserLoginProfile",
        "aws:iam/serviceSpecificCredential:ServiceSpecificCredential",
        "aws:iam/sshKey:SshKey",
        "aws:ec2/keyPair:KeyPair",
    ],
    remedy="take it out: people take a role of the identity provider, machines Roles Anywhere or an instance role",
    refuses=True,
)
def no_long_lived_credentials(credential: Resource, context: Context) -> Iterator[Seen]:
    """There are no IAM users, access keys, passwords or SSH key pairs: credentials end by themselves."""
    yield credential.seen("type", False, credential.type)


@rule(
    "no-star-rights",
    zh="权限策略不在全部资源上授予通配操作",
    clauses=["8.1.4.2 a-d"],
    types=[
        "aws:iam/rolePolicy:RolePolicy",
        "aws:iam/policy:Policy",
        "aws:iam/groupPolicy:GroupPolicy",
        "aws:iam/userPolicy:UserPolicy",
    ],
    remedy="name the actions, and the resources that they are for",
)
def no_star_rights(policy: Resource, context: Context) -> Iterator[Seen]:
    """No policy of a role allows a wildcard of actions on all resources, or everything but something."""
    wide = [action for one in statements(policy.get("policy")) for action in _wide(one)]
    yield policy.seen("policy", not wide, f"{', '.join(wide)} on *" if wide else "no wildcard action on all resources")


@rule(
    "no-full-access",
    zh="角色不附加管理员或完全访问的托管策略",
    clauses=["8.1.4.2 a-d"],
    types=["aws:iam/rolePolicyAttachment:RolePolicyAttachment", "aws:iam/role:Role"],
    remedy="attach a policy that allows what the role needs",
)
def no_full_access(holder: Resource, context: Context) -> Iterator[Seen]:
    """No role has one of the managed policies that allow everything."""
    attached = [*([holder.get("policyArn")] if holder.get("policyArn") else []), *holder.get("managedPolicyArns", [])]
    wide = [arn for arn in attached if str(arn).endswith(FULL_ACCESS)]
    path = "policyArn" if holder.get("policyArn") else "managedPolicyArns"
    yield holder.seen(path, not wide, attached or "none attached")


@rule(
    "role-trust-named",
    zh="角色的信任策略只信任列明的主体",
    clauses=["8.1.4.2 a-d", "8.1.4.2 e-g"],
    types=["aws:iam/role:Role"],
    remedy="name the service, or the roles of the account, that may take the role",
)
def role_trust_named(role: Resource, context: Context) -> Iterator[Seen]:
    """A role is taken only by whom its trust policy names."""
    trusted = [
        who for one in statements(role.get("assumeRolePolicy")) if one.allows for who in one.principals or (ANYBODY,)
    ]
    yield role.seen("assumeRolePolicy", ANYBODY not in trusted, ", ".join(trusted))


@rule(
    "tagged",
    zh="每个资源带有环境、项目与责任人标签",
    clauses=["8.1.10"],
    types=TAGGABLE,
    remedy=f"give the resource the tags {', '.join(REQUIRED_TAGS)}",
)
def tagged(resource: Resource, context: Context) -> Iterator[Seen]:
    """Whatever carries tags says which environment and project it belongs to, and who owns it."""
    tags = resource.get("tags")
    # A group carries its tags as a list.
    given = {one["key"] for one in tags} if isinstance(tags, Sequence) else set(tags or {})
    missing = [name for name in REQUIRED_TAGS if name not in given]
    yield resource.seen("tags", not missing, f"missing: {', '.join(missing)}" if missing else "all there")


def _wide(one: Statement) -> Iterator[str]:
    if not one.allows or ANYBODY not in one.resources:
        return
    if one.inverted:
        yield "everything but " + ", ".join(one.actions)
    yield from (action for action in one.actions if action == "*" or action.endswith(":*") or action == "iam:PassRole")
