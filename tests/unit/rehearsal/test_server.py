from __future__ import annotations

import json
from urllib.parse import urlsplit

from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.conditions import CONDITIONS
from ferry.rehearsal.server import EMULATOR, Server


def test_the_emulator_is_the_one_whose_gaps_are_known() -> None:
    assert EMULATOR == "moto 5.2.5"


def test_it_listens_on_loopback_only(account: EmbeddedAccount) -> None:
    assert urlsplit(account.endpoint_url).hostname == "127.0.0.1"


def test_a_reset_forgets_what_was_made_and_draws_the_same_ids_again(server: Server) -> None:
    def make_network() -> str:
        server.reset()
        vpc: str = server.account("us-east-1").client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        return vpc

    first = make_network()
    assert make_network() == first
    vpcs = server.account("us-east-1").client("ec2").describe_vpcs()["Vpcs"]
    assert sorted((vpc["CidrBlock"], vpc["IsDefault"]) for vpc in vpcs) == [
        ("10.0.0.0/16", False),
        ("172.31.0.0/16", True),
    ]


def test_a_reset_forgets_which_conditions_were_put(account: EmbeddedAccount, server: Server) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket="models")
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket="models", Policy=json.dumps({"Statement": [deny]}))
    assert CONDITIONS.evaluated == {"Bool aws:SecureTransport (loopback counts as TLS)"}
    server.reset()
    assert CONDITIONS.evaluated == set()


def test_stock_images_of_the_emulator_are_not_there(account: EmbeddedAccount) -> None:
    assert account.client("ec2").describe_images()["Images"] == []
