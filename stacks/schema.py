"""The JSON Schema by which an editor completes and checks stack files: `python -m stacks.schema` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stacks.settings import PROJECT, Settings

PATH = Path(__file__).with_name("schema.json")


def stack_file_schema() -> dict[str, Any]:
    """Schema of a whole stack file: Ferry's keys are closed, other namespaces and Pulumi's own keys are left alone."""
    settings = Settings.model_json_schema()
    keys = {
        "aws:region" if name == "region" else f"{PROJECT}:{name}": field
        for name, field in settings["properties"].items()
    }
    required = ["aws:region" if name == "region" else f"{PROJECT}:{name}" for name in settings["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stack file of Ferry",
        "description": settings["description"],
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": keys,
                "required": required,
                "propertyNames": {"anyOf": [{"enum": list(keys)}, {"not": {"pattern": f"^{PROJECT}:"}}]},
            }
        },
        "required": ["config"],
        "$defs": settings["$defs"],
    }


def text() -> str:
    """The file's content."""
    return json.dumps(stack_file_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
