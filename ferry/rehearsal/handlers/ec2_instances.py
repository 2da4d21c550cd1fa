"""EC2, the part that nodes are made of: launch templates, capacity reservations, and what those look up."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ferry.errors import RehearsalError
from ferry.rehearsal.handlers import (
    Account,
    Created,
    Inputs,
    State,
    answers,
    creates,
    deleted_by,
    deletes,
    reads,
    updates,
)
from ferry.rehearsal.handlers.ec2 import arn, tag_specifications
from ferry.rehearsal.handlers.tagging import as_map

TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
RESERVATION = "aws:ec2/capacityReservation:CapacityReservation"
DATA = (
    "imageId",
    "instanceType",
    "cpuOptions",
    "userData",
    "iamInstanceProfile",
    "metadataOptions",
    "blockDeviceMappings",
    "networkInterfaces",
    "tagSpecifications",
)
"""Properties that make the data of one version of a template."""


@creates(TEMPLATE, fixed=("name", "namePrefix"))
def launch_template(account: Account, inputs: Inputs) -> Created:
    """`CreateLaunchTemplate`: its first version, which is the default one."""
    region = inputs.region
    name = inputs.autoname("name", 128)
    inputs.skip("updateDefaultVersion", "a template has one version when it is made")
    made = account.client("ec2", region).create_launch_template(
        LaunchTemplateName=name,
        VersionDescription=inputs.take("description", ""),
        LaunchTemplateData=_data(inputs),
        TagSpecifications=tag_specifications(inputs, "launch-template"),
    )["LaunchTemplate"]
    id_ = made["LaunchTemplateId"]
    return Created(
        id_,
        {
            "arn": arn(account, f"launch-template/{id_}", region),
            "name": name,
            "latestVersion": made["LatestVersionNumber"],
            "defaultVersion": made["DefaultVersionNumber"],
        },
    )


def _data(inputs: Inputs) -> dict[str, Any]:
    data: dict[str, Any] = {
        "ImageId": inputs.take("imageId"),
        "InstanceType": inputs.take("instanceType"),
        "CpuOptions": _cpu(inputs.nested("cpuOptions")),
        "UserData": inputs.take("userData"),
        "IamInstanceProfile": _profile(inputs.nested("iamInstanceProfile")),
        "MetadataOptions": _metadata(inputs.nested("metadataOptions")),
        "BlockDeviceMappings": [_device(device) for device in inputs.each("blockDeviceMappings")],
        "NetworkInterfaces": [_interface(interface) for interface in inputs.each("networkInterfaces")],
        "TagSpecifications": [
            {"ResourceType": tagged.take("resourceType"), "Tags": tagged.tags()}
            for tagged in inputs.each("tagSpecifications")
        ],
    }
    return {key: value for key, value in data.items() if value}


def _profile(profile: Inputs | None) -> dict[str, Any] | None:
    if profile is None:
        return None
    return _given(Arn=profile.take("arn"), Name=profile.take("name"))


def _cpu(options: Inputs | None) -> dict[str, Any] | None:
    if options is None:
        return None
    data = _given(
        AmdSevSnp=options.take("amdSevSnp"),
        CoreCount=options.take("coreCount"),
        ThreadsPerCore=options.take("threadsPerCore"),
    )
    options.skip("amdSevSnp", "kept in the template; the instances that moto 5.2.5 starts from it have ordinary memory")
    return data


def _metadata(options: Inputs | None) -> dict[str, Any] | None:
    if options is None:
        return None
    return _given(
        HttpEndpoint=options.take("httpEndpoint"),
        HttpTokens=options.take("httpTokens"),
        HttpPutResponseHopLimit=options.take("httpPutResponseHopLimit"),
        InstanceMetadataTags=options.take("instanceMetadataTags"),
    )


def _device(device: Inputs) -> dict[str, Any]:
    ebs = device.nested("ebs")
    return _given(
        DeviceName=device.take("deviceName"),
        Ebs=ebs
        and _given(
            Encrypted=_flag(ebs.take("encrypted")),
            KmsKeyId=ebs.take("kmsKeyId"),
            VolumeType=ebs.take("volumeType"),
            VolumeSize=ebs.take("volumeSize"),
            Iops=ebs.take("iops"),
            Throughput=ebs.take("throughput"),
            DeleteOnTermination=_flag(ebs.take("deleteOnTermination")),
        ),
    )


def _interface(interface: Inputs) -> dict[str, Any]:
    return _given(
        DeviceIndex=interface.take("deviceIndex"),
        AssociatePublicIpAddress=_flag(interface.take("associatePublicIpAddress")),
        Groups=interface.take("securityGroups"),
        DeleteOnTermination=_flag(interface.take("deleteOnTermination")),
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _flag(value: str | bool | None) -> bool | None:
    """The provider writes these as the strings `true` and `false`, where an empty one means that nothing is said."""
    return None if value in (None, "") else str(value).lower() == "true"


@creates(
    RESERVATION,
    fixed=("availabilityZone", "ebsOptimized", "instanceMatchCriteria", "instancePlatform", "instanceType", "tenancy"),
)
def capacity_reservation(account: Account, inputs: Inputs) -> Created:
    """Nothing is sent: moto 5.2.5 does not know `CreateCapacityReservation`."""
    for name in (
        "availabilityZone",
        "ebsOptimized",
        "endDateType",
        "instanceCount",
        "instanceMatchCriteria",
        "instancePlatform",
        "instanceType",
        "tags",
        "tenancy",
    ):
        inputs.skip(name, "capacity reservations are missing in moto 5.2.5")
    region = inputs.region
    id_ = f"cr-{hashlib.sha256(inputs.name.encode()).hexdigest()[:17]}"
    return Created(id_, {"arn": arn(account, f"capacity-reservation/{id_}", region), "ownerId": account.account_id})


@answers("aws:ec2/getAmi:getAmi")
def image(account: Account, inputs: Inputs) -> Mapping[str, Any]:
    """`DescribeImages`. Raises RehearsalError unless the filters leave exactly one image."""
    region = inputs.region
    filters = [{"Name": item.take("name"), "Values": item.take("values")} for item in inputs.each("filters")]
    found = account.client("ec2", region).describe_images(Filters=filters)["Images"]
    if len(found) != 1:
        raise RehearsalError(f"{len(found)} images match {filters}, needed is one: correct the filters")
    one = found[0]
    return {
        "id": one["ImageId"],
        "imageId": one["ImageId"],
        "name": one["Name"],
        "rootDeviceName": one["RootDeviceName"],
        "region": region or account.region,
    }


@answers("aws:ec2/getSubnet:getSubnet")
def subnet(account: Account, inputs: Inputs) -> Mapping[str, Any]:
    """`DescribeSubnets` of one id."""
    region = inputs.region
    id_ = inputs.take("id")
    one = account.client("ec2", region).describe_subnets(SubnetIds=[id_])["Subnets"][0]
    return {
        "id": id_,
        "arn": arn(account, f"subnet/{id_}", region),
        "availabilityZone": one["AvailabilityZone"],
        "availabilityZoneId": one["AvailabilityZoneId"],
        "cidrBlock": one["CidrBlock"],
        "vpcId": one["VpcId"],
        "region": region or account.region,
    }


deleted_by(TEMPLATE, "ec2", "delete_launch_template", LaunchTemplateId="id")


@updates(TEMPLATE, *DATA, "description", "updateDefaultVersion", moves=("latestVersion", "defaultVersion"))
def launch_template_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`CreateLaunchTemplateVersion`; `updateDefaultVersion` makes it the default one."""
    ec2 = account.client("ec2", old.region)
    version = ec2.create_launch_template_version(
        LaunchTemplateId=old.id, VersionDescription=new.take("description", ""), LaunchTemplateData=_data(new)
    )["LaunchTemplateVersion"]["VersionNumber"]
    if not new.take("updateDefaultVersion", False):
        return {"latestVersion": version}
    ec2.modify_launch_template(LaunchTemplateId=old.id, DefaultVersion=str(version))
    return {"latestVersion": version, "defaultVersion": version}


@reads(TEMPLATE)
def read_launch_template(account: Account, state: State) -> Mapping[str, Any]:
    """Its numbers and its tags, and of the newest version what is a single value."""
    ec2 = account.client("ec2", state.region)
    found = ec2.describe_launch_templates(LaunchTemplateIds=[state.id])["LaunchTemplates"][0]
    newest = ec2.describe_launch_template_versions(LaunchTemplateId=state.id, Versions=["$Latest"])
    data = newest["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    return {
        "name": found["LaunchTemplateName"],
        "latestVersion": found["LatestVersionNumber"],
        "defaultVersion": found["DefaultVersionNumber"],
        "imageId": data.get("ImageId"),
        "instanceType": data.get("InstanceType"),
        "userData": data.get("UserData"),
        "tags": as_map(found.get("Tags")),
    }


@updates(RESERVATION, "instanceCount", "endDate", "endDateType", "tags")
def capacity_reservation_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """Nothing is sent."""
    return {}


@deletes(RESERVATION)
def delete_capacity_reservation(account: Account, state: State) -> None:
    """Nothing was made."""
