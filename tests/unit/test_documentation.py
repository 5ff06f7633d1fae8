"""The documents: how many there are, and whether their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from documentation import FENCE, ROOT, documents

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text("utf-8"))


def anchors(path: Path) -> set[str]:
    """What GitHub names the headings of a document."""
    headings = (re.sub(r"[`*]", "", heading) for heading in HEADING.findall(prose(path)))
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_pages_are_few_and_all_in_the_index() -> None:
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert len(pages) <= 16
    index = set(LINK.findall((docs / "README.md").read_text()))
    assert pages - index == {"README.md"}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(path: Path) -> None:
    folders = "client|docker|docs|scripts|server|tests"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", prose(path))
    made_by_users = (ROOT / ".gitignore").read_text().splitlines()
    missing = [name for name in named if not (ROOT / name).exists()]
    assert [name for name in missing if f"/{name}" not in made_by_users] == []
