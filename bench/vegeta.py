"""Load for bench/crossing.py from vegeta: a constant rate, whatever becomes of earlier requests."""

from __future__ import annotations

import base64
import json
import signal
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("plain", "plain", "stream")
TOKENS = 16
TIMEOUT_SECONDS = 60
"""Of a client: it waits longer for an answer than the gate does."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the clients saw."""

    requests: int
    failed: int
    truncated: int
    p50_ms: Mapping[str, float]
    p99_ms: Mapping[str, float]
    """By kind: `plain`, `stream`, and `all`."""
    why: Mapping[str, int]
    """Of what failed or was truncated."""


class Attack:
    """vegeta against an address, in the background."""

    def __init__(self, url: str, rate: int, seconds: float, folder: Path) -> None:
        self._results = folder / f"attack-{time.monotonic_ns()}"
        targets = self._results.with_suffix(".targets")
        targets.write_text("\n".join(map(json.dumps, (_target(url, kind) for kind in KINDS))) + "\n", encoding="utf-8")
        options = [f"-rate={rate}/s", f"-duration={seconds}s", f"-timeout={TIMEOUT_SECONDS}s", "-format=json"]
        self.process = subprocess.Popen(
            ["vegeta", "attack", *options, f"-targets={targets}", f"-output={self._results}"]
        )

    def stop(self) -> None:
        """Send no more; what is under way is waited for."""
        self.process.send_signal(signal.SIGINT)

    def seen(self) -> Seen:
        """Wait for its end, and read each answer."""
        if self.process.wait():
            raise SystemExit(f"vegeta ended with {self.process.returncode}")
        milliseconds: dict[str, list[float]] = {"plain": [], "stream": []}
        why: Counter[str] = Counter()
        failed = truncated = count = 0
        decoder = subprocess.Popen(["vegeta", "encode", "-to=json", self._results], stdout=subprocess.PIPE)
        for line in decoder.stdout or ():
            answer = json.loads(line)
            kind = answer["url"].rpartition("=")[2]
            count += 1
            milliseconds[kind].append(answer["latency"] / 1e6)
            body = base64.b64decode(answer["body"] or "")
            if answer["error"].endswith("unexpected EOF") or (answer["code"] == 200 and not _whole(kind, body)):
                truncated += 1
            elif answer["code"] != 200 or answer["error"]:
                failed += 1
            else:
                continue
            why[f"{answer['code']} {answer['error'].rpartition(': ')[2]}"] += 1
        decoder.wait()
        self._results.unlink()
        milliseconds["all"] = [*milliseconds["plain"], *milliseconds["stream"]]
        cut = {kind: statistics.quantiles(values, n=100) for kind, values in milliseconds.items()}
        return Seen(
            requests=count,
            failed=failed,
            truncated=truncated,
            p50_ms={kind: values[49] for kind, values in cut.items()},
            p99_ms={kind: values[98] for kind, values in cut.items()},
            why=dict(why),
        )


def _target(url: str, kind: str) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": "Is it moved?"}], "max_tokens": TOKENS}
    return {
        "method": "POST",
        "url": f"{url}/v1/chat/completions?kind={kind}",
        "header": {"Content-Type": ["application/json"]},
        "body": base64.b64encode(json.dumps(body | {"stream": kind == "stream"}).encode()).decode(),
    }


def _whole(kind: str, body: bytes) -> bool:
    if kind == "stream":
        return body.endswith(b"data: [DONE]\n\n") and body.count(b"data: ") == TOKENS + 2
    return bool(json.loads(body)["usage"]["completion_tokens"] == TOKENS)
