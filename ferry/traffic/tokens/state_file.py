"""What Ferry itself notes about tokens: a JSON file with its schema in it, replaced in one step."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import ValidationError

from ferry.artefacts import Frozen, first_problem, write_whole
from ferry.errors import UnreadableInput


class StateFile(Frozen):
    """Read and written whole. Its default is what holds where there is no file yet."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """What the file says. Raises UnreadableInput, also for a schema that this version does not know."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise UnreadableInput(f"{path}: cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise UnreadableInput(f"{path}: {first_problem(error)}") from error

    def write(self, path: Path) -> None:
        """Replace the file. Raises UnwritableOutput."""
        write_whole(path, self.model_dump_json(by_alias=True, indent=2) + "\n", durable=True)
