"""The project's documents, and the code blocks in them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    """All Markdown files of the project."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "*.md"], capture_output=True, check=True
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.exists() and ".github" not in path.parts]


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        place: Document and line, for messages.
        language: Of the fence, may be empty.
        code: Its lines.
    """

    place: str
    language: str
    code: str

    def __str__(self) -> str:
        return self.place


def blocks(*languages: str) -> list[Block]:
    """The blocks of all documents in some languages."""
    found = []
    for path in documents():
        text = path.read_text("utf-8")
        for match in FENCE.finditer(text):
            place = f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            found.append(Block(place, match[1], match[2]))
    return [block for block in found if block.language in languages]


def commands(block: Block) -> list[str]:
    """The command lines of a block for a shell: comments left out, continued lines joined."""
    text = re.sub(r"(\\|\|)\n\s*", lambda match: match[1].replace("\\", " "), block.code)
    lines = (re.sub(r"(^|\s)#(\s.*)?$", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]
