from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ferry.cli import app, progress
from ferry.cli.progress import Transfer
from ferry.errors import FerryError, InvalidField
from ferry.models import direct
from ferry.models.signature import FileSigner
from ferry.signing_key import save_signing_key, verification_key
from tests.unit.models.bucket import Bucket

Run = Callable[..., str]


@pytest.fixture
def run(
    bucket: Bucket, signer: FileSigner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Callable[..., Path]
) -> Run:
    """Run `ferry models …` over the bucket in memory: what it printed, or the error's message, by exit code."""
    monkeypatch.setattr(direct.DirectTransport, "connect", lambda name, **_: bucket)
    save_signing_key(tmp_path / "key.pem", signer.key)
    (tmp_path / "public.pem").write_text(verification_key(signer.key))
    monkeypatch.chdir(tmp_path)
    folder()

    def execute(line: str, *, code: int = 0) -> str:
        environment = {"FERRY_MODEL_BUCKET": "weights", "XDG_STATE_HOME": str(tmp_path / "state"), "USER": "ann"}
        result = CliRunner().invoke(app, ["models", *line.split()], env=environment)
        if isinstance(result.exception, FerryError):
            assert code == 1, result.exception
            return str(result.exception)
        assert result.exit_code == code, result.output
        return result.output

    return execute


PUSH = "push source --name r1 --version 1 --signing-key key.pem"


def test_a_push_says_what_went_over_the_link_and_what_comes_next(run: Run) -> None:
    said = run(PUSH)
    assert "r1@1 published: 5 files, 5.0 kB" in said
    assert "sent 5.0 kB, copied in the store 0 B, there already 0 B" in said
    assert "next: ferry models promote r1@1 --channel CHANNEL" in said
    assert "r1@1 was there already" in run(PUSH)


def test_a_folder_that_assess_cannot_read_is_pushed_without_facts(run: Run, bucket: Bucket) -> None:
    assert "no model facts: source: has model-00001-of-00002" in " ".join(run(PUSH).split())
    assert json.loads(bucket.objects["models/r1/1/manifest.json"])["facts"] is None


@pytest.mark.tool("git")
def test_facts_of_the_model_travel_in_the_manifest(run: Run, bucket: Bucket, folder: Callable[..., Path]) -> None:
    config = {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 1000,
        "max_position_embeddings": 4096, "torch_dtype": "bfloat16",
    }  # fmt: skip
    described = folder("described", {"config.json": json.dumps(config).encode()})
    run("push described --name r1 --version 1 --signing-key key.pem --json")
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@b", "-C", str(described)]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run([*git, *arguments], check=True)
    run("import-lfs described --name r1 --version 2 --signing-key key.pem --json")
    facts, of_commit = (json.loads(bucket.objects[f"models/r1/{version}/manifest.json"])["facts"] for version in "12")
    assert (facts["architecture"], facts["layers"], facts["context_tokens"]) == ("Qwen2ForCausalLM", 2, 4096)
    assert of_commit == facts


@pytest.mark.parametrize(
    "verb", ["verify r1@1", "verify r1@1 --deep", "verify r1:stable", "diff r1@1 r1:stable", "list"]
)
def test_what_is_asked_answers_in_text_and_in_json(run: Run, verb: str) -> None:
    run(PUSH)
    run("promote r1@1 --channel stable --signing-key key.pem")
    assert run(f"{verb} --key public.pem").strip()
    assert isinstance(json.loads(run(f"{verb} --key public.pem --json")), dict)


def test_list_shows_size_signer_and_channels(run: Run, bucket: Bucket) -> None:
    run(PUSH)
    run("promote r1@1 --channel stable --signing-key key.pem")
    bucket.write("channels/r1/canary.json", b"{}")
    said = " ".join(run("list --key public.pem").split())
    assert re.search(
        r"r1@1 5\.0 kB, 5 files, \d{4}-\d\d-\d\d \d\d:\d\d UTC, pushed by ann@\S+, signed with 339e2ff917630507; "
        r"channels: stable #1 r1:canary unusable: s3://weights/channels/r1/canary\.json: is no signed channel",
        said,
    )


def test_verify_ends_with_3_when_something_is_not_as_it_was_signed(run: Run, bucket: Bucket) -> None:
    run(PUSH)
    bucket.remove("models/r1/1/config.json")
    assert "missing config.json is missing" in " ".join(run("verify r1@1 --key public.pem", code=3).split())
    assert json.loads(run("verify r1@1 --key public.pem --json", code=3))["whole"] is False
    bucket.write("models/r1/1/manifest.json.sig", b"")
    assert json.loads(run("verify r1@1 --key public.pem --json", code=3))["whole"] is False


def test_pull_and_rollback_and_prune_by_the_command_line(run: Run, tmp_path: Path, folder: Callable[..., Path]) -> None:
    folder("other", {"config.json": b"[]"})
    run(PUSH)
    run("push other --name r1 --version 2 --signing-key key.pem")
    for version in ("1", "2"):
        run(f"promote r1@{version} --channel stable --signing-key key.pem")
    assert "r1:stable means 1 (sequence 3" in run("promote r1 --channel stable --previous --signing-key key.pem")
    said = " ".join(run("pull r1:stable models/r1 --key public.pem").split())
    assert "r1@1 in" in said
    assert "all verified" in said
    assert "in place already" in run("pull r1:stable models/r1 --key public.pem")
    assert (tmp_path / "models" / "r1" / "config.json").read_bytes() == b"{}"
    assert "nothing was marked" in run("prune r1 --keep 1 --key public.pem")
    ledger = (tmp_path / "state/ferry/models/ledger.jsonl").read_text().splitlines()
    verbs = [json.loads(line)["verb"] for line in ledger]
    assert verbs == ["models push"] * 2 + ["models promote"] * 3


def test_a_pull_below_the_least_sequence_is_refused(run: Run) -> None:
    run(PUSH)
    run("promote r1@1 --channel stable --signing-key key.pem")
    said = run("pull r1:stable models/r1 --min-sequence 2 --state elsewhere --key public.pem", code=1)
    assert "has sequence 1, this machine knows of 2: an old channel was put back" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("verify r1@1", "no key is trusted, so nothing can be verified; name a public key with --key FILE"),
        ("push source --name r1 --version 1", "no signing key: name one with --signing-key FILE or --kms-key ID"),
        (f"{PUSH} --kms-key alias/x", "--kms-key and --signing-key are two keys; a version is signed with one"),
        ("promote r1:stable --channel x --signing-key key.pem", "r1:stable: is a channel; name the version to promote"),
        ("promote r1 --channel x --signing-key key.pem", "'r1' names no version of a model; write NAME@VERSION"),
        ("verify r1@1 --key key.pem", "key.pem: is not a public key in PEM"),
        ("push source --name R1 --version 1 --signing-key key.pem", "model 'R1': allowed are 2 to 63 of a-z 0-9 . -"),
    ],
)
def test_what_is_missing_says_what_to_give(run: Run, line: str, said: str) -> None:
    assert said in run(line, code=1)


@pytest.mark.parametrize("line", ["verify", "push source --name r1", "prune r1", "pull r1@1 x --min-sequence -1"])
def test_a_wrong_line_is_a_usage_error(run: Run, line: str) -> None:
    run(line, code=2)


# ---- progress ----


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


def told(clock: list[float], *, quiet: bool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(progress, "note", lambda text, as_json: lines.append(text))
    with Transfer(quiet=quiet, clock=lambda: clock[0]) as transfer:
        transfer.begin("pushing", 10_000_000_000)
        for _ in range(5):
            clock[0] += 5
            transfer.advance(1_000_000_000)
    return lines


def test_a_log_gets_a_line_every_ten_seconds_with_rate_and_time_left(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(clock, quiet=False, monkeypatch=monkeypatch) == [
        "pushing: 2.00 of 10.00 GB, 200 MB/s, 40 s left",
        "pushing: 4.00 of 10.00 GB, 200 MB/s, 30 s left",
    ]


def test_nothing_is_told_with_json(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(clock, quiet=True, monkeypatch=monkeypatch) == []


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    from io import StringIO

    from rich.console import Console

    out = StringIO()
    monkeypatch.setattr(progress, "console", lambda **_: Console(file=out, force_terminal=True, width=100))
    with Transfer(quiet=False) as transfer:
        transfer.begin("hashing", 10)
        transfer.begin("pushing", 2_000_000)
        transfer.advance(1_000_000)
    shown: Any = out.getvalue()
    assert "pushing" in shown
    assert "1.0/2.0 MB" in shown


def test_a_person_without_a_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from ferry.cli import model_options

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(model_options.getpass, "getuser", nobody)
    with pytest.raises(FerryError, match="this process has no user name; set USER"):
        model_options.this_person()
    with pytest.raises(InvalidField):
        model_options.load_signer(Path("a"), "b")
