"""Reads an engine's arguments by its table: what is known becomes a field, all else stays as it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ferry.assess.deployments.engines import Table
from ferry.assess.deployments.redaction import is_secret_name
from ferry.assess.deployments.words import Word

COUNTS = frozenset({
    "tensor_parallel", "pipeline_parallel", "data_parallel", "expert_parallel", "max_sequences", "max_batch_tokens",
    "max_cached_tokens", "context_tokens", "nodes", "gpus", "replicas", "port",
})  # fmt: skip
BOOLEANS = frozenset({"prefix_caching", "chunked_prefill", "eager", "trust_remote_code"})
LISTS = frozenset({"served_names", "lora_adapters"})
# vllm/engine/arg_utils.py, human_readable_int: k, m, g are decimal, K, M, G binary.
SCALES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}
COUNT = re.compile(r"([0-9]{1,10}(?:\.[0-9]{1,6})?)([kmgKMG]?)")
ENGINE_DECIDES = frozenset({"auto", "-1", "none", "null", ""})
NEGATIVE = re.compile(r"-[0-9]+(\.[0-9]+)?")
LARGEST = 10**9


@dataclass
class Settings:
    """Fields with their texts, the other flags, and the secrets with the flag or variable that names them."""

    fields: dict[str, list[Word]] = field(default_factory=dict)
    extra: list[tuple[Word, list[Word]]] = field(default_factory=list)
    secrets: list[tuple[str, Word]] = field(default_factory=list)
    files: list[tuple[Word, Word]] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    asks_for_key: bool = False


def read(table: Table, words: Sequence[Word], environment: Mapping[str, Word]) -> Settings:
    """Sort arguments by a table. A flag beats a variable, the last of two flags the first."""
    found = Settings()
    for name, value in environment.items():
        if name in table.environment and table.environment[name] == "api_key":
            found.asks_for_key = True
        elif name in table.environment:
            found.fields[table.environment[name]] = [value]
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not _is_flag(word):
            if table.positional and "model" not in found.fields:
                found.fields["model"] = [word]
            continue
        given, equals, joined = word.partition("=")
        name = canonical(given)
        found.flags.add(name)
        following = [Word(joined, word.line)] if equals else []
        if name in table.lists:
            while not equals and at < len(words) and not _is_flag(words[at]):
                following.append(words[at])
                at += 1
            found.fields[table.lists[name]] = following
            continue
        switch, positive = name in table.switches or name in table.other_switches, True
        if not switch and name.startswith("--no-") and "--" + name[5:] in table.switches:
            name, switch, positive = "--" + name[5:], True, False
        takes = at < len(words) and not equals and not _is_flag(words[at])
        if takes and (not switch or words[at].lower() in ("true", "false")):
            following.append(words[at])
            at += 1
        if name in table.switches:
            target, meant = table.switches[name]
            stated = boolean(following[0]) if following else True
            on = stated is not None and stated == positive
            found.fields[target] = following if stated is None else [Word(str(on == meant).lower(), word.line)]
        elif name in table.secrets or is_secret_name(name):
            found.asks_for_key |= name in table.secrets
            found.secrets += [(given, value) for value in following]
            found.extra.append((Word(given, word.line), [Word("***", value.line) for value in following]))
        elif name.partition(".")[0] in table.values and following:
            found.fields[table.values[name.partition(".")[0]]] = following
        else:
            if name in table.files and following:
                found.files.append((Word(given, word.line), following[0]))
            found.extra.append((Word(given, word.line), following))
    return found


def canonical(flag: str) -> str:
    """A flag with dashes for underscores, as the engines themselves take both."""
    return f"--{flag[2:].replace('_', '-')}" if flag.startswith("--") else flag


def _is_flag(word: str) -> bool:
    return len(word) > 1 and word.startswith("-") and not NEGATIVE.fullmatch(word[:40])


def count(text: str) -> int | None:
    """A whole number from 1 to a billion, `16k` and `1.5K` as vLLM reads them; None for anything else."""
    found = COUNT.fullmatch(text.strip())
    value = float(found[1]) * SCALES[found[2]] if found else 0.0
    return int(value) if 1 <= value <= LARGEST and value == int(value) else None


def boolean(text: str) -> bool | None:
    """Yes or no, as shells, clap and pydantic write it; None for anything else."""
    return {
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
    }.get(text.strip().lower())


def share(text: str) -> float | None:
    """A number above 0 and at most 1; None for anything else."""
    found = re.fullmatch(r"[0-9]?(?:\.[0-9]{1,9})?", text.strip())
    value = float(text) if found and found.group().strip(".") else 0.0
    return value if 0 < value <= 1 else None


def speculation(text: str) -> str:
    """The method of speculative decoding; of vLLM's JSON the method or the draft model, and how many tokens."""
    try:
        document: Any = json.loads(text[:4000])
    except (ValueError, RecursionError):
        return text
    if not isinstance(document, dict):
        return text
    method = document.get("method") or document.get("model") or "unnamed"
    tokens = document.get("num_speculative_tokens")
    return f"{method}, {tokens} tokens" if isinstance(tokens, int) else str(method)


def adapters(texts: Sequence[str]) -> list[str]:
    """The names of LoRA adapters: `name=path`, JSON with a name, or paths, several joined by commas."""
    names: list[str] = []
    for text in texts:
        if text.startswith("{"):
            found = re.search(r'"name"\s*:\s*"([^"]{1,200})"', text[:2000])
            names.append(found[1] if found else text)
        else:
            names += [part.partition("=")[0] for part in text.split(",") if part]
    return names
