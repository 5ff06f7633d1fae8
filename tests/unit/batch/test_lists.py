"""Which addresses a list names, in whichever form."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from tritonpose import InputError
from tritonpose_batch.items import list_items
from tritonpose_batch.lists import read_list


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "b.jpg").write_bytes(b"content")
    return tmp_path


def addresses(name: str, content: bytes | str) -> list[str]:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_list(name, print)


@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl", "parquet"])
def test_lists(folder: Path, suffix: str) -> None:
    listed = ["b.jpg", "missing.jpg", "https://example.com/c.jpg", "s3://bucket/d.mp4"]
    path = folder / "photos" / f"list.{suffix}"
    match suffix:
        case "txt":
            path.write_text("\n".join(listed) + "\n\n")
        case "csv":
            path.write_text("label,path\n" + "".join(f"x,{name}\n" for name in listed))
        case "jsonl":
            path.write_text("".join(f'{{"label": 1, "url": "{name}"}}\n' for name in listed))
        case _:
            parquet.write_table(pa.table({"image": listed}), path)
    items = list_items([f"photos/list.{suffix}"], print)
    assert [item.path for item in items] == [
        "photos/b.jpg",
        "photos/missing.jpg",
        *listed[2:],
    ]
    assert [item.version != "" for item in items] == [True, False, False, False]
    assert [item.video for item in items] == [False, False, False, True]


def test_a_list_in_an_object_store() -> None:
    fsspec.filesystem("memory").pipe("/lists/all.txt", b"memory://bucket/b.jpg\n/photos/a.jpg\n")
    items = list_items(["memory://lists/all.txt"], print)
    assert [item.path for item in items] == ["memory://bucket/b.jpg", "/photos/a.jpg"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "CSV"])
@pytest.mark.parametrize(
    "listed",
    [
        ["a.jpg", "b.jpg"],
        ["https://example.com/a", "b.jpg"],
        ["clips/1", "clips/2"],
        ["IMG_0001", "IMG_0002"],
        ["001", "002"],
        ["notes.heic"],
    ],
)
def test_a_table_without_a_header_keeps_its_first_line(suffix: str, listed: list[str]) -> None:
    found = addresses(f"list.{suffix}", "\n".join(listed))
    assert found == listed


def test_a_first_line_that_exists_is_no_header(folder: Path) -> None:
    (folder / "photo").touch()
    assert addresses("list.csv", "photo\nb.jpg\n") == ["photo", "b.jpg"]


def test_an_unknown_header_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert addresses("list.csv", "Bild\na.jpg\n") == ["a.jpg"]
    told = "the first line of 'list.csv' is taken for a header: 'Bild'"
    assert told in capsys.readouterr().out
    assert addresses("list.csv", "URL\na.jpg\n") == ["a.jpg"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
@pytest.mark.parametrize(
    ("suffix", "lines"),
    [
        ("txt", ["a.jpg", "行人.jpg"]),
        ("csv", ["path,label", "a.jpg,x", "行人.jpg,y"]),
        ("csv", ["Label;Path", "x;a.jpg", "y;行人.jpg"]),
        ("tsv", ["label\tpath", "x\ta.jpg", "y\t行人.jpg"]),
        ("csv", ["label|path", "x|a.jpg", "y|行人.jpg"]),
        ("csv", ["sep=;", "label;path", "x;a.jpg", "y;行人.jpg"]),
        ("csv", ['"sep=^"', "label^path", "x^a.jpg", "y^行人.jpg"]),
        ("csv", ["SEP=,", "a.jpg", "行人.jpg"]),
        ("csv", ["a.jpg", '"行人.jpg"']),
        ("jsonl", ['{"path": "a.jpg"}', '{"path": "行人.jpg", "label": 1}']),
        ("ndjson", ['"a.jpg"', '"行人.jpg"']),
    ],
)
def test_encodings_and_ends_of_lines(suffix: str, lines: list[str], end: str, codec: str) -> None:
    found = addresses(f"list.{suffix}", "".join(line + end for line in lines).encode(codec))
    assert found == ["a.jpg", "行人.jpg"]


@pytest.mark.parametrize("suffix", ["txt", "csv"])
def test_names_that_are_no_utf_8(suffix: str) -> None:
    listed = addresses(f"list.{suffix}", b"a.jpg\n\xd0\xd0.jpg\n")
    assert [name.encode("utf-8", "surrogateescape") for name in listed] == [
        b"a.jpg",
        b"\xd0\xd0.jpg",
    ]


def test_characters_that_end_no_line() -> None:
    names = ["a\x85b.jpg", "a\u2028b.jpg", "a\x1cb.jpg"]
    assert addresses("list.txt", "\n".join(names)) == names
    assert addresses("list.csv", "\n".join(names)) == names
    assert addresses("list.txt", "a\nb.jpg\0c.jpg\0") == ["a\nb.jpg", "c.jpg"]


def test_quotes() -> None:
    assert addresses("list.txt", ' "a b.jpg" \n"') == ["a b.jpg", '"']
    Path('"a b.jpg"').touch()
    assert addresses("list.txt", '"a b.jpg"\n') == ['"a b.jpg"']
    quoted = 'label, path\n1, "a, ""b"".jpg"\n2,"c\nd.jpg"\n'
    assert addresses("list.csv", quoted) == ['a, "b".jpg', "c\nd.jpg"]


def test_cells_are_text_whatever_they_look_like() -> None:
    assert addresses("list.csv", "path,n\n001,1\nNA,2\ntrue,3\n") == ["001", "NA", "true"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_columns_of_parquet(kind: pa.DataType) -> None:
    pictures = pa.array([b"much", b"more"])
    names = pa.array(["a.jpg", "b.jpg"]).cast(kind)
    parquet.write_table(pa.table({"image": pictures, "Path": names}), "list.parquet")
    assert read_list("list.parquet", print) == ["a.jpg", "b.jpg"]
    index = pa.array([5, 7])
    parquet.write_table(pa.table({"image": names, "__index_level_0__": index}), "list.parquet")
    assert read_list("list.parquet", print) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "x,y\n1,2\n", "has the columns x, y; expected one of path, url, address"),
        ("a.csv", "path,y\na.jpg,2\n,3\n", "line 3 of the list .* has no address"),
        (
            "a.csv",
            "a.jpg,cat\nb.jpg,dog\n",
            "several columns, and its first line is no header: a.jpg",
        ),
        ("a.csv", "a.jpg\nb,c.jpg\n", "line 2 of the list .* has 2 columns, its first line 1"),
        ("a.csv", "path,y\na,b.jpg,3\n", "an address that holds ',' between double quotes"),
        ("a.csv", 'path\n"a.jpg\n', "can't read the list"),
        ("a.csv", "", "lists nothing"),
        ("a.csv", "path,label\n", "lists nothing"),
        ("a.txt", "\n \n", "lists nothing"),
        ("a.jsonl", "", "lists nothing"),
        ("a.jsonl", '"a.jpg"\n{', "line 2 is no JSON"),
        ("a.jsonl", "[1]", r"line 1 of the list .* has no address: \[1\]"),
        ("a.jsonl", '{"x": "a.jpg", "y": 1}', "has the columns x, y"),
        ("a.jsonl", '{"path": "\\ud83d.jpg"}', "holds half of a character"),
        ("a.parquet", "no parquet", "can't read the list"),
    ],
)
def test_broken_lists(folder: Path, name: str, content: str, reason: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=reason):
        list_items([name], print)
