from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.environment import isolated, variables


def test_the_partition_follows_from_the_region(account_in: Callable[[str], EmbeddedAccount]) -> None:
    assert [account_in(region).partition for region in ("eu-central-1", "cn-north-1")] == ["aws", "aws-cn"]
    identity = account_in("cn-north-1").client("sts").get_caller_identity()
    assert (identity["Account"], identity["Arn"].split(":")[1]) == ("123456789012", "aws-cn")


def test_clients_are_made_once_for_each_service_and_region(account: EmbeddedAccount) -> None:
    with ThreadPoolExecutor(8) as threads:
        clients = list(threads.map(lambda _: account.client("sqs"), range(32)))
    assert len({id(client) for client in clients}) == 1
    assert account.client("sqs", "eu-west-1") is not clients[0]
    assert account.client("sqs", "eu-west-1").meta.region_name == "eu-west-1"


def test_the_users_profile_files_and_proxy_are_never_used(account: EmbeddedAccount, tmp_path: Path) -> None:
    broken = tmp_path / "config"
    broken.write_text("[this is no configuration", encoding="utf-8")
    hostile = os.environ | {
        "AWS_CONFIG_FILE": str(broken),
        "AWS_SHARED_CREDENTIALS_FILE": str(broken),
        "AWS_PROFILE": "production",
        "AWS_DEFAULT_PROFILE": "production",
        "AWS_ENDPOINT_URL": "http://192.0.2.1",
        "HTTP_PROXY": "http://192.0.2.1",
    }
    program = """
import sys
from ferry.rehearsal.account import EmbeddedAccount

client = EmbeddedAccount(sys.argv[1], "us-east-1").client("sns")
print(client.list_topics()["Topics"], client._request_signer._credentials.access_key)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, account.endpoint_url], env=hostile, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[] rehearsal\n", "")


def test_a_call_that_fails_is_not_tried_again(account: EmbeddedAccount) -> None:
    with pytest.raises(account.client("ssm").exceptions.ParameterNotFound) as raised:
        account.client("ssm").get_parameter(Name="not-there")
    assert raised.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_an_isolated_environment_leads_nowhere_else() -> None:
    given = {"PATH": "/bin", "AWS_PROFILE": "p", "PULUMI_CONFIG": "{}", "https_proxy": "h", "MOTO_PORT": "1"}
    assert isolated(given) == {
        "PATH": "/bin",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def test_the_variables_lead_an_aws_tool_to_the_account() -> None:
    assert variables("http://127.0.0.1:5", "cn-north-1") == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:5",
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_REGION": "cn-north-1",
        "AWS_DEFAULT_REGION": "cn-north-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
