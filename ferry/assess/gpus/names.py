"""Names of accelerators: whether two of them mean the same one."""

from __future__ import annotations

import re

MAKERS = re.compile(r"\b(?:NVIDIA|TESLA|GEFORCE|AMD|INSTINCT|QUADRO|RADEON|ARCTURUS|GL-XL)\b")
MODEL = re.compile(r"\b(?:RTX\s*\w+(?:\s+(?:TI|SUPER))?|[A-Z]{1,3}[0-9]+[A-Z]*)\b")
MEMORY = re.compile(r"\b([0-9]+)\s*GI?B\b")
CUT_OFF = "..."


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same accelerator: the same model, and the same memory where both name it.

    `NVIDIA H100 80GB HBM3` and `H100-SXM5-80GB` do; `A100-SXM4-40GB` and `A100-SXM4-80GB` do not. A name that
    nvidia-smi's table cut off (`NVIDIA GeForce RTX 4080 ...`) means every name that begins like it.
    """
    if one.endswith(CUT_OFF) or other.endswith(CUT_OFF):
        left, right = (MAKERS.sub(" ", name.removesuffix(CUT_OFF).upper()).split() for name in (one, other))
        shorter = min(len(left), len(right))
        return " ".join(left[:shorter]) == " ".join(right[:shorter]) or _same(" ".join(left), " ".join(right))
    return _same(one, other)


def _same(one: str, other: str) -> bool:
    (model, memory), (other_model, other_memory) = _model(one), _model(other)
    return model == other_model and (memory is None or other_memory is None or memory == other_memory)


def _model(name: str) -> tuple[str, str | None]:
    plain = MAKERS.sub(" ", name.upper()[:200])
    memory, model = MEMORY.search(plain), MODEL.search(plain)
    return (model[0].replace(" ", "") if model else plain.strip()), memory[1] if memory else None


def stated_memory_gib(name: str) -> int | None:
    """The memory that a name carries: 80 for `A100-SXM4-80GB`."""
    match = MEMORY.search(name.upper()[:200])
    return int(match[1]) if match else None
