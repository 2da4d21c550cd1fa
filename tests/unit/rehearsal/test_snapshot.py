"""The checks look at one moment of the account: the same question is put once, and what fails is put again."""

from __future__ import annotations

from typing import Any

import pytest

from ferry.rehearsal.snapshot import Snapshot


class Client:
    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def describe_things(self, **question: Any) -> str:
        self.asked.append(("describe_things", question))
        if question.get("Broken"):
            raise LookupError("not there")
        return f"answer {len(self.asked)}"

    def put_thing(self, **question: Any) -> None:
        self.asked.append(("put_thing", question))

    def get_paginator(self, name: str) -> str:
        return f"paginator of {name}"


class Account:
    region = "us-east-1"
    partition = "aws"
    account_id = "1"

    def __init__(self) -> None:
        self.clients: dict[tuple[str, str | None], Client] = {}

    def client(self, service: str, region: str | None = None) -> Any:
        return self.clients.setdefault((service, region), Client())


def test_the_same_question_is_put_once() -> None:
    account = Account()
    moment = Snapshot(account)
    answers = [moment.client("ec2").describe_things(Ids=["a"]) for _ in range(3)]
    assert answers == ["answer 1"] * 3
    assert moment.client("ec2").describe_things(Ids=["b"]) == "answer 2"
    assert len(account.clients["ec2", None].asked) == 2


def test_two_services_and_two_regions_answer_for_themselves() -> None:
    account = Account()
    moment = Snapshot(account)
    for service, region in (("ec2", None), ("ec2", "us-west-2"), ("s3", None)):
        moment.client(service, region).describe_things()
    assert [len(client.asked) for client in account.clients.values()] == [1, 1, 1]


def test_from_another_region_it_is_the_same_moment_and_another_answer() -> None:
    account = Account()
    moment = Snapshot(account)
    there = moment.within("us-west-2")
    for one in (moment, there, there, moment.within("us-west-2")):
        one.client("ec2").describe_things()
    assert (moment.region, there.region) == ("us-east-1", "us-west-2")
    assert {key: len(client.asked) for key, client in account.clients.items()} == {
        ("ec2", None): 1,
        ("ec2", "us-west-2"): 1,
    }


def test_what_fails_is_asked_again_and_a_write_is_never_remembered() -> None:
    account = Account()
    client = Snapshot(account).client("ec2")
    for _ in range(2):
        with pytest.raises(LookupError):
            client.describe_things(Broken=True)
        client.put_thing(Name="a")
    assert len(account.clients["ec2", None].asked) == 4


def test_a_paginator_is_the_clients_own() -> None:
    assert Snapshot(Account()).client("ec2").get_paginator("describe_things") == "paginator of describe_things"
