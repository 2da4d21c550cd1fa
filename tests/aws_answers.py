"""AWS clients that answer from a list: botocore checks each request and each answer against the service's model.

answers = Answers()
answers.add("ec2", "us-east-1", "describe_spot_price_history", {...answer}, {...expected request})
refresh(["us-east-1"], folder, clients=answers)
answers.all_asked()
"""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3
from botocore.stub import Stubber

from ferry.catalog.aws import Clients


class Answers(Clients):
    """Clients of any service and region; each answers what was added for it, in order, and reaches no network."""

    def __init__(self) -> None:
        self._stubs: dict[tuple[str, str], tuple[Any, Stubber]] = {}

    def client(self, service: str, region: str) -> Any:
        """The client that answers for a service in a region."""
        return self._stub(service, region)[0]

    def add(self, service: str, region: str, method: str, answer: dict[str, Any], request: Any = None) -> None:
        """The next answer, and the request that it expects."""
        self._stub(service, region)[1].add_response(method, answer, request)

    def refuse(self, service: str, region: str, method: str, code: str, message: str = "no") -> None:
        """The next answer is an error."""
        self._stub(service, region)[1].add_client_error(method, code, message)

    def all_asked(self) -> None:
        """Fails where an answer was not asked for."""
        for _, stub in self._stubs.values():
            stub.assert_no_pending_responses()

    def _stub(self, service: str, region: str) -> tuple[Any, Stubber]:
        if (service, region) not in self._stubs:
            client = _session().client(service, region_name=region)
            stub = Stubber(client)
            stub.activate()
            self._stubs[service, region] = client, stub
        return self._stubs[service, region]


@cache
def _session() -> Any:
    """One for all: it reads the services' models, and that takes longest."""
    return boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test")
