"""A live account as resources, under Pulumi's names, so that the same rules judge it.

Only describe, get and list calls are made. What belongs to the stack is told by its tag `ferry:environment`, and what
is set on it comes with it. IAM users, key pairs and elastic addresses are looked for in the whole account, since the
point is that there are none.
"""

from __future__ import annotations

from functools import cache

from botocore.exceptions import BotoCoreError, ClientError

from ferry.compliance.account import compute, logs, network, rights, storage
from ferry.compliance.account.calls import Account, Clients
from ferry.compliance.resource import Context, Resource
from ferry.errors import InputError

READERS = (storage.read, logs.read, network.read, compute.read, rights.read)


def resources(client: Clients, context: Context) -> list[Resource]:
    """Everything in the account that a rule looks at and that the stack owns.

    Raises InputError where the account cannot be asked, with the call and the remedy.
    """
    account = Account(cache(client), context.region, context.environment)  # making a client costs more than a call
    try:
        return [found for read in READERS for found in read(account)]
    except (ClientError, BotoCoreError) as error:
        raise InputError(
            f"account in {context.region}: {' '.join(str(error).split())}; "
            "the managed policy SecurityAudit allows what is asked, and AWS_PROFILE names who asks"
        ) from error


__all__ = ["READERS", "resources"]
