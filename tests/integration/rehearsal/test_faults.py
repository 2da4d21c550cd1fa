"""The whole program through calls that fail and an engine that is killed: the account is that of a clean run.

Each refused create and each kill stands for the end of one `up`; the next one asks for what its state does not hold,
which is the same create again. FERRY_SOAK=n: each stack, n times, refused and killed at other places each time.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from ferry.rehearsal import program, seeds
from ferry.rehearsal.checks import Stack
from ferry.rehearsal.handlers import HANDLERS
from ferry.render.stack_file import StackFile
from stacks.settings import PROJECT, Settings
from tests.accounts import differences, told
from tests.faults import Failing
from tests.fronts import Made, by_the_provider, census, provider_of

REPOSITORY = Path(__file__).resolve().parents[3]
CODES = ("ThrottlingException", "RequestLimitExceeded", "InternalError", "ServiceUnavailable")
KILLED = 0.1
"""Share of creates whose answer the engine does not live to write down."""

ROUNDS = int(os.environ.get("FERRY_SOAK", 0))
SAMPLE = (
    [(environment, seed) for environment in ("dev", "staging", "prod", "prod-cn") for seed in range(ROUNDS)]
    if ROUNDS
    else [("dev", 7)]
)


@pytest.mark.parametrize(("environment", "seed"), SAMPLE)
def test_after_errors_and_kills_nothing_is_made_twice_and_nothing_is_missing(
    rehearsed: Callable[[str], Any],
    account_in: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    seed: int,
) -> None:
    clean = rehearsed(environment)
    drawn = random.Random(seed)
    config = StackFile.read(REPOSITORY / "stacks" / f"Pulumi.{environment}.yaml").config
    settings = Settings.from_config(config)
    account = account_in(settings.region)
    seeds.seed(account, settings)
    code = drawn.choice(CODES)
    failing = Failing(account, drawn.randint(3, 30), code)
    made: list[Made] = []
    refusals, killed = [], []

    with provider_of(failing) as (_, stub):

        def until_it_is_written_down(request: Any) -> Any:
            while True:
                try:
                    answer = stub.Create(request)
                except grpc.RpcError as refused:
                    refusals.append(str(refused.details()))
                    if code not in refusals[-1]:
                        raise
                    continue
                if drawn.random() >= KILLED:
                    return answer
                killed.append(request.urn)

        create = by_the_provider(stub, made, until_it_is_written_down)
        monkeypatch.setattr(program, "HANDLERS", dict.fromkeys(HANDLERS, create))
        done = program.run(REPOSITORY, PROJECT, environment, config, account)

    assert len(refusals) == failing.refused > 10
    assert len(killed) > 5
    assert census(account) == census(clean.account)
    assert differences(told(account, Stack(settings, done.outputs)), told(clean.account, clean.stack)) == []
