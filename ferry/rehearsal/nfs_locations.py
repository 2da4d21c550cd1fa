"""NFS locations of DataSync, which moto lacks while it keeps tasks and refuses one whose source it does not know.

`install` adds the two requests to moto's DataSync, in the server's process, in the form of its other locations.
"""

from __future__ import annotations

import json
from typing import Any

from moto.datasync.responses import DataSyncResponse


def install() -> None:
    """Make moto's DataSync, in this process, keep NFS locations. Installing twice is the same as once."""
    responses: Any = DataSyncResponse
    responses.create_location_nfs = _create
    responses.describe_location_nfs = _describe


def _create(response: Any) -> str:
    host, path = response._get_param("ServerHostname"), response._get_param("Subdirectory")
    kept = {"OnPremConfig": response._get_param("OnPremConfig")}
    arn = response.datasync_backend.create_location(f"nfs://{host}/{path.lstrip('/')}", metadata=kept, typ="NFS")
    return json.dumps({"LocationArn": arn})


def _describe(response: Any) -> str:
    location = response._get_location(response._get_param("LocationArn"), typ="NFS")
    return json.dumps({"LocationArn": location.arn, "LocationUri": location.uri, **location.metadata})
