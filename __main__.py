"""The Pulumi program: a stack's settings, the components that they ask for, and what the toolkit reads of them."""

from __future__ import annotations

from pathlib import Path

import pulumi
from pulumi.runtime.config import CONFIG
from pydantic import ValidationError

from components.identity import Identity
from components.inference_service import InferenceService, InferenceServiceArgs
from stacks.settings import Settings

try:
    # All of the configuration, and not key by key through pulumi.Config, so that an unknown `ferry:` key is an error.
    settings = Settings.from_config(CONFIG.get())
except ValidationError as error:
    problems = (f"{'.'.join(map(str, each['loc'])) or 'stack'}: {each['msg']}" for each in error.errors())
    raise pulumi.RunError(f"stack {pulumi.get_stack()} is refused: {'; '.join(problems)}") from None

service = InferenceService(
    "ferry",
    InferenceServiceArgs(
        identity=Identity.of_caller(settings.region), settings=settings, project=Path(__file__).parent
    ),
)
for name, value in service.exports.items():
    pulumi.export(name, value)
