"""The documents: how many there are, and whether their links lead somewhere."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path

import pytest

import tritonpose
from documentation import FENCE, ROOT, blocks, documents
from tritonpose.transport.connection import ConnectionOptions

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


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_of_code_are_found(path: Path) -> None:
    """tests/e2e/test_code_blocks.py runs those of Python, bash and YAML; the others show text."""
    text = path.read_text("utf-8")
    languages = {match[1] for match in FENCE.finditer(text)}
    assert languages <= {"python", "bash", "yaml", "json", "text", ""}
    assert len(re.findall(r"```|~~~", text)) == 2 * len(FENCE.findall(text))


def test_signatures_are_those_of_the_code() -> None:
    pipeline = tritonpose.HumanKeypointPipeline
    known = {
        "create_pipeline": tritonpose.create_pipeline,
        "pipeline.predict": pipeline.predict,
        "pipeline.track": pipeline.track,
    }
    shown = {}
    for block in blocks("text"):
        name = block.code.partition("(")[0]
        if name in known:
            (function,) = ast.parse(f"def f{block.code[len(name) :].strip()}: ...").body
            assert isinstance(function, ast.FunctionDef)
            shown[name] = parameters(function.args)
    for name, function in known.items():
        real = inspect.signature(function).parameters.values()
        named = {
            each.name: each.default
            for each in real
            if each.name != "self" and each.kind != each.VAR_KEYWORD
        }
        if name == "create_pipeline":
            named |= dict.fromkeys(ConnectionOptions.__annotations__)
        keyword_only = {each.name for each in real if each.kind == each.KEYWORD_ONLY}
        keyword_only |= named.keys() & ConnectionOptions.__annotations__
        given, behind_star = shown[name]
        assert given.keys() == named.keys()
        assert behind_star == keyword_only
        assert [each for each in given if each not in behind_star] == [
            each for each in named if each not in keyword_only
        ]
        for each, default in given.items():
            # That of `retries` is said beside its type.
            assert each == "retries" or default == named[each]


def parameters(given: ast.arguments) -> tuple[dict[str, object], set[str]]:
    """The defaults by name, where there is none `inspect.Parameter.empty`; the keyword-only."""
    names = [each.arg for each in (*given.args, *given.kwonlyargs)]
    defaults = [ast.literal_eval(each) for each in (*given.defaults, *given.kw_defaults) if each]
    without = [inspect.Parameter.empty] * (len(names) - len(defaults))
    return dict(zip(names, without + defaults, strict=True)), {
        each.arg for each in given.kwonlyargs
    }


def test_lines_of_the_log_are_json() -> None:
    lines = [block for block in blocks("json") if block.code.count("\n") == 1]
    assert [json.loads(block.code)["status"] for block in lines] == [200]
