"""Report in-house words in tracked files, with the plain words for them.

Usage: ``check_words.py [FILE ...]``; without files, every file that git tracks is read.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

WORDS = Path(__file__).with_name("words.txt")


def read_words(text: str) -> dict[str, str]:
    """Return the replacement of each word or phrase of a word list."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split(" -> ", 1) for line in lines)


def find_words(text: str, words: dict[str, str]) -> list[tuple[int, str, str]]:
    """Find listed words in a text.

    Args:
        text: What to search. Phrases may be broken over lines of a comment.
        words: Replacements by word or phrase, in lower case.

    Returns:
        Line number from 1, words found and replacement, in the order of the text.
    """
    gap = r"[\s#*]+"
    phrases = "|".join(gap.join(re.escape(part) for part in phrase.split()) for phrase in words)
    found = []
    for match in re.finditer(rf"(?<![\w-])(?:{phrases})(?![\w-])", text, re.IGNORECASE):
        phrase = " ".join(re.split(gap, match.group()))
        line = text.count("\n", 0, match.start()) + 1
        found.append((line, phrase, words[phrase.lower()]))
    return found


def main(files: list[str]) -> int:
    """Print what was found; return 1 if that is anything."""
    if not files:
        listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True)
        files = [name for name in listed.stdout.decode().split("\0") if name]
    words = read_words(WORDS.read_text("utf-8"))
    status = 0
    for path in map(Path, files):
        if path.name == WORDS.name or not path.is_file():
            continue
        for line, phrase, plain in find_words(path.read_text("utf-8", "ignore"), words):
            print(f"{path}:{line}: {phrase!r}: write {plain!r}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
