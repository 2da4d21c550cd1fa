"""What OpenAI's API asks and answers, as vLLM speaks it (vllm/entrypoints/openai).

The text is made of the engine's name and a number, so that an answer shows who gave it and whether a token is missing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ferry.errors import InvalidField

TOKENS = 16
"""Of an answer where the request names no maximum; OpenAI's default for completions."""

MOST_TOKENS = 65536

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request for a completion."""

    chat: bool
    model: str
    stream: bool
    usage: bool
    """Whether a stream ends with its usage: yes unless `stream_options.include_usage` is false, as vLLM does with
    `--enable-force-include-usage`."""
    prompt_tokens: int
    tokens: int
    """Of the answer."""

    @classmethod
    def read(cls, path: str, body: bytes) -> Asked:
        """From a request's body. Raises InvalidField for what vLLM answers with 400."""
        try:
            asked = json.loads(body)
        except ValueError:
            raise InvalidField("the body is no JSON") from None
        chat = path == "/v1/chat/completions"
        prompt = "messages" if chat else "prompt"
        if not isinstance(asked, dict) or prompt not in asked:
            raise InvalidField(f"the body has no {prompt}")
        tokens = asked.get("max_completion_tokens", asked.get("max_tokens")) or TOKENS
        if type(tokens) is not int or not 1 <= tokens <= MOST_TOKENS:
            raise InvalidField(f"max_tokens is {tokens!r}; allowed: 1 to {MOST_TOKENS}")
        options = asked.get("stream_options")
        return cls(
            chat=chat,
            model=str(asked.get("model", "")),
            stream=bool(asked.get("stream")),
            usage=not isinstance(options, dict) or options.get("include_usage") is not False,
            prompt_tokens=len(json.dumps(asked[prompt]).split()),
            tokens=tokens,
        )

    @property
    def _usage(self) -> dict[str, int]:
        total = self.prompt_tokens + self.tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": total,
            "completion_tokens": self.tokens,
        }

    def whole(self, answer_id: str, engine: str) -> bytes:
        """The answer in one piece."""
        text = "".join(f"{engine}-{index} " for index in range(self.tokens))
        content: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        head = self._head(answer_id, "chat.completion" if self.chat else "text_completion")
        choices = [{"index": 0, **content, "logprobs": None, "finish_reason": "length"}]
        return json.dumps({**head, "choices": choices, "usage": self._usage}).encode()

    def events(self, answer_id: str, engine: str) -> Iterator[bytes]:
        """The answer as server-sent events: one for each token, then the usage where it is asked for, then `[DONE]`."""
        head = self._head(answer_id, "chat.completion.chunk" if self.chat else "text_completion")
        start = f"data: {json.dumps(head)[:-1]}, "
        content = ('"delta": {"content": "%s"}' if self.chat else '"text": "%s"').replace("%s", f"{engine}-%d ")
        form = start + '"choices": [{"index": 0, ' + content + ', "logprobs": null, "finish_reason": %s}]}\n\n'
        for index in range(self.tokens):
            yield (form % (index, "null" if index < self.tokens - 1 else '"length"')).encode()
        last = f'{start}"choices": [], "usage": {json.dumps(self._usage)}}}\n\n'.encode() if self.usage else b""
        yield last + DONE

    def _head(self, answer_id: str, kind: str) -> dict[str, Any]:
        return {"id": answer_id, "object": kind, "created": int(time.time()), "model": self.model}


def models(name: str) -> bytes:
    """`/v1/models`."""
    model = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "ferry"}
    return json.dumps({"object": "list", "data": [model]}).encode()


def error(status: int, message: str, kind: str) -> bytes:
    """An error in vLLM's form."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": status}}).encode()
