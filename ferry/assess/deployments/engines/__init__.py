"""The flags of each engine, one module each, and what tells an engine by its image."""

from __future__ import annotations

import re

from ferry.artefacts.deployment import Engine
from ferry.assess.deployments.engines import ollama, sglang, tensorrt_llm, tgi, training, triton, vllm
from ferry.assess.deployments.engines.table import Table

# The order matters: tritonserver's images may be `…-vllm-python-py3` or `…-trtllm-python-py3`.
TABLES: dict[Engine, Table] = {
    "triton": triton.TABLE,
    "tensorrt-llm": tensorrt_llm.TABLE,
    "tgi": tgi.TABLE,
    "sglang": sglang.TABLE,
    "ollama": ollama.TABLE,
    "vllm": vllm.TABLE,
}
TRAINING = training.TABLE
NOT_ENGINES = ("router", "gateway", "exporter", "benchmark", "operator", "open-webui", "webui", "lmcache")
VERSION = re.compile(r"(?:^|[^0-9.])v?([0-9]{1,4}(?:\.[0-9]{1,4}){1,3}(?:[.-]?(?:post|rc|a|b|dev)[0-9]{1,8})?)")


def of_image(image: str) -> Engine | None:
    """The engine that an image holds, by its name; None for a router, an exporter, and what is not known."""
    path = image.lower().partition("@")[0]
    slash = path.rfind("/")
    tag = path.find(":", slash + 1)
    name = path if tag < 0 else path[:tag]
    if any(part in name for part in NOT_ENGINES):
        return None
    return next((engine for engine, table in TABLES.items() if any(part in name for part in table.images)), None)


def version_of(image: str, engine: Engine | None) -> str | None:
    """The engine's version from an image's tag; None for `latest`, `nightly`, a digest alone, or no tag.

    None, too, for an image that is not the engine's own, whose tag counts something else: `nvidia/cuda:12.4.1`.
    """
    path = image.partition("@")[0]
    tag = path[path.rfind("/") + 1 :].partition(":")[2][:200]
    # rocm6.3.1_vllm_0.8.5_…: the version is the one after the engine's name.
    if engine and (at := tag.lower().find(engine)) >= 0:
        tag = tag[at + len(engine) :]
    elif engine and of_image(image) != engine:
        return None
    found = VERSION.search(f" {tag}")
    return found[1] if found else None


__all__ = ["TABLES", "TRAINING", "Table", "of_image", "version_of"]
