"""YAML files that are made to be costly, or to run code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonpose import ConfigError
from tritonpose.config import PipelineConfig
from tritonpose.yaml_files import read_yaml


def nested(first: str, item: str) -> str:
    """Lines of which each stands for nine times as much as the one before."""
    lines = [f"a0: &a0 {first}"]
    for number in range(1, 10):
        nine = ",".join(item.format(place) + f"*a{number - 1}" for place in range(9))
        lines.append(f"a{number}: &a{number} " + ("{%s}" if ":" in item else "[%s]") % nine)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (nested("[x]", ""), "stand for too much"),
        (nested("{x: 1}", "k{}: "), "stand for too much"),
        (nested("{x: 1}", "<<: "), "stand for too much"),
        ("&a [*a]", "stand for too much"),
        ("&a {b: *a}", "stand for too much"),
        ("a: " + "9" * 5000, "a number of 5000 digits"),
        ("a: 0x" + "f" * 5000, "a number of 5002 digits"),
        ("a: 1" + ":1" * 5000, "a number of 10001 digits"),
        ("a: 1" + ":1" * 5000 + ".5", "a number of"),
        ("a: " + "x" * 2**20, "more than 1 MiB"),
        ("[" * 5000, "recursion"),
        ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("a: !!bool perhaps", "perhaps"),
        ("a: !!timestamp x", "isn't valid"),
        ("a: 2026-13-45", "month"),
        ("? {a: 1}\n: 2", "unhashable"),
        ("\0", "not allowed"),
    ],
)
def test_what_is_not_read(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match="isn't valid YAML") as caught:
        read_yaml(path)
    assert words in str(caught.value)


def test_plain_aliases_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("a: &a {b: [1, 2.5]}\nc: *a\nd: {<<: *a, e: null}\n", "utf-8")
    assert read_yaml(path) == {
        "a": {"b": [1, 2.5]},
        "c": {"b": [1, 2.5]},
        "d": {"b": [1, 2.5], "e": None},
    }
    path.write_text("", "utf-8")
    assert read_yaml(path) is None


def test_texts_that_spell_numbers_without_end(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(f"pipeline_name: '0x{'f' * 50_000}'", "utf-8")
    with pytest.raises(ConfigError, match="pipeline_name = '0xff"):
        PipelineConfig.load(path)
