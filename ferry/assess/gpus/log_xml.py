"""`nvidia-smi -q -x`: XML.

External entities are never fetched, and any entity declaration is refused. An embedded DTD without entities is what
`--dtd` writes, and is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.parsers import expat

from ferry.assess.gpus.log_fields import Block, Fields, add, add_top
from ferry.assess.gpus.reading import Reading, Seen
from ferry.errors import UnreadableInput

STARTS = ("<?xml", "<!DOCTYPE nvidia_smi_log", "<nvidia_smi_log")
END = "</nvidia_smi_log>"
DEEPEST = 40
LARGEST_DOCUMENT = 16 * 2**20


def read(lines: Sequence[str], start: int, reading: Reading) -> int:
    """Read `nvidia-smi -q -x` from a line on; the line after it, or `start` where none begins. UnreadableInput."""
    if not lines[start].lstrip("\ufeff \t").startswith(STARTS):
        return start
    end = next((at + 1 for at in range(start, len(lines)) if END in lines[at]), len(lines))
    document = "\n".join(lines[start:end]).lstrip("\ufeff \t")
    if len(document) > LARGEST_DOCUMENT:
        raise UnreadableInput(
            f"{reading.at(start + 1)}: is XML of more than {LARGEST_DOCUMENT / 2**20:g} MiB; no server's GPUs fill that"
        )
    document, closed, _ = document.partition(END)
    tree = _Tree(reading, start)
    tree.parse(document + closed)
    for block in tree.blocks:
        add(block, reading)
    add_top(tree.top, reading)
    reading.kinds["nvidia-smi -q -x"] = None
    return end


class _Tree:
    """The parsing of one XML document into blocks."""

    def __init__(self, reading: Reading, offset: int) -> None:
        self.reading, self.offset = reading, offset
        self.top: Fields = {}
        self.blocks: list[Block] = []
        self.path: list[str] = []
        self.text = ""
        self.parser = expat.ParserCreate("utf-8")
        self.parser.StartElementHandler = self._open
        self.parser.EndElementHandler = self._close
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._entity

    def parse(self, document: str) -> None:
        try:
            self.parser.Parse(document.encode("utf-8", "replace"), True)
        except expat.ExpatError as error:
            raise UnreadableInput(
                f"{self.reading.at(self.offset + error.lineno)}: is not whole XML, or is cut off: "
                f"{expat.ErrorString(error.code)}; run nvidia-smi -q -x again"
            ) from error

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        if not self.path and name != "nvidia_smi_log":
            raise UnreadableInput(f"{self._where()}: is XML, but not of nvidia-smi -q -x: its root is {name[:40]!r}")
        if len(self.path) >= DEEPEST:
            raise UnreadableInput(f"{self._where()}: XML is nested deeper than nvidia-smi writes it")
        self.path.append(name)
        if self.path == ["nvidia_smi_log", "gpu"]:
            self.blocks.append(Block(attributes.get("id", ""), self._where()))
        elif name == "mig_device" and self.blocks:
            self.blocks[-1].mig.append({})
        self.text = ""

    def _close(self, name: str) -> None:
        inside = self.path[1:]
        value = Seen(self.text.strip(), self._where())
        if inside[:1] != ["gpu"]:
            self.top.setdefault(name, value)
        elif self.blocks and "mig_device" in inside:
            steps = inside[inside.index("mig_device") + 1 :]
            if steps:
                self.blocks[-1].mig[-1].setdefault("/".join(steps), value)
        elif self.blocks:
            self.blocks[-1].fields.setdefault("/".join(inside[1:]), value)
        self.path.pop()
        self.text = ""

    def _characters(self, data: str) -> None:
        if len(self.text) < 1000:
            self.text += data[:1000]

    def _entity(self, *_: object) -> None:
        raise UnreadableInput(f"{self._where()}: declares an XML entity, which nvidia-smi never does; refused")

    def _where(self) -> str:
        return self.reading.at(self.offset + self.parser.CurrentLineNumber)
