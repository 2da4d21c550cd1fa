from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ferry.rehearsal.account import EmbeddedAccount

PROGRAM = """
import pulumi
import pulumi_aws as aws
from components import node

RIGHTS = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}'
)

class Gateways(pulumi.ComponentResource):
    def __init__(self):
        super().__init__("test:it:Gateways", "gateways")
        owner = node.Owner(name="gateways", group_name="gateways", tags={"owner": "site"}, component=self)
        template = node.launch_template(
            owner,
            region="us-east-1",
            ami_parameter="/ferry/image",
            instance_type="m6a.large",
            profile=node.instance_profile(owner, RIGHTS),
            security_group_id="sg-1",
            volume_gib=30,
            CONFIDENTIAL
            user_data=pulumi.Output.from_input("#cloud-config"),
        )
        pulumi.export("template", template.id)

Gateways()
"""


@pytest.mark.parametrize(
    ("argument", "options"),
    [("", None), ("confidential=True,", {"AmdSevSnp": "enabled"})],
    ids=["ordinary", "confidential"],
)
def test_sev_snp_is_asked_for_at_launch(
    account: EmbeddedAccount, run_program: Callable[..., Any], argument: str, options: dict[str, str] | None
) -> None:
    ec2 = account.client("ec2")
    image = ec2.register_image(Name="image", Architecture="x86_64", RootDeviceName="/dev/xvda")["ImageId"]
    account.client("ssm").put_parameter(Name="/ferry/image", Value=image, Type="String")
    done = run_program(PROGRAM.replace("CONFIDENTIAL", argument))
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateId=done.outputs["template"])[
        "LaunchTemplateVersions"
    ]
    assert version["LaunchTemplateData"].get("CpuOptions") == options
    told = [one for one in done.not_emulated if one.property == "cpuOptions.amdSevSnp"]
    assert [one.why for one in told] == (
        ["kept in the template; the instances that moto 5.2.5 starts from it have ordinary memory"] if options else []
    )
