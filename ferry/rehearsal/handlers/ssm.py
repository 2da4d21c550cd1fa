"""Systems Manager parameters: looked up, never made. A name that the account does not have fails, as in AWS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.errors import RehearsalError
from ferry.rehearsal.handlers import Account, Inputs, answers


@answers("aws:ssm/getParameter:getParameter")
def parameter(account: Account, inputs: Inputs) -> Mapping[str, Any]:
    """`GetParameter`. Raises RehearsalError for a name that was not seeded."""
    region = inputs.region
    ssm = account.client("ssm", region)
    name, decrypted = inputs.take("name"), inputs.take("withDecryption", True)
    try:
        found = ssm.get_parameter(Name=name, WithDecryption=decrypted)["Parameter"]
    except ssm.exceptions.ParameterNotFound as error:
        raise RehearsalError(
            f"SSM parameter {name} is not in the embedded account of {region or account.region}; the rehearsal seeds "
            "what the stack names (fleet.ami_parameter): correct the name, or seed it in ferry/rehearsal/seeds.py"
        ) from error
    return {
        "id": name,
        "name": name,
        "arn": found["ARN"],
        "type": found["Type"],
        "value": found["Value"],
        "insecureValue": "" if found["Type"] == "SecureString" else found["Value"],
        "version": found["Version"],
        "withDecryption": decrypted,
        "region": region or account.region,
    }
