"""The file that remembers what was fetched."""

import hashlib
import json
import threading
from dataclasses import replace

import pytest

from tritonpose_server.models.fetch.lock import LockError, ModelLock, ModelRecord

FOUND = ModelRecord(
    "https://models.example/A_infer.tar",
    {"inference.yml": "1" * 64, "inference.onnx": "2" * 64},
    "a" * 64,
)
ELSEWHERE = "https://elsewhere.example/A_infer.tar"


@pytest.fixture
def lock(tmp_path):
    return ModelLock(tmp_path / "models.lock.json")


def files_of(**changes):
    """The recorded files with some changed; None leaves one out."""
    files = dict(FOUND.files)
    for suffix, digest in changes.items():
        files[f"inference.{suffix}"] = digest
    return {name: digest for name, digest in files.items() if digest is not None}


def test_the_first_fetch_is_recorded_for_people_to_read(lock):
    lock.verify_or_add("B", ModelRecord("https://models.example/B", {"inference.yml": "3" * 64}))
    lock.verify_or_add("A", FOUND)
    text = lock.path.read_text()
    # Sorted and one value a line: a change of a record is a change of its lines.
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert [path.name for path in lock.path.parent.iterdir()] == [lock.path.name]
    assert ModelLock(lock.path).record("A") == FOUND
    assert lock.record("C") is None


@pytest.mark.parametrize(
    "found",
    [
        FOUND,
        replace(FOUND, source=ELSEWHERE),
        replace(FOUND, source=ELSEWHERE, archive_sha256="b" * 64),
        replace(FOUND, source=ELSEWHERE, archive_sha256=None),
    ],
)
def test_the_same_files_are_accepted_and_the_record_stays(lock, found):
    lock.verify_or_add("A", FOUND)
    before = lock.path.read_bytes()
    lock.verify_or_add("A", found)
    assert lock.path.read_bytes() == before


NINES = "9" * 64


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            replace(FOUND, files=files_of(onnx=NINES, yml="8" * 64)),
            f"onnx has SHA-256 {NINES}, recorded is {'2' * 64}; inference.yml has SHA-256 8",
        ),
        (
            replace(FOUND, source=ELSEWHERE, files=files_of(onnx=NINES)),
            rf"what {ELSEWHERE} gives is not the A .*from {FOUND.source}\): inference.onnx has",
        ),
        (replace(FOUND, files=files_of(onnx=None)), r"onnx has SHA-256 nothing \(it is missing\)"),
        (replace(FOUND, files=files_of(json=NINES)), f"json has SHA-256 {NINES}, .* is nothing."),
        (replace(FOUND, archive_sha256="b" * 64), f"the archive has SHA-256 {'b' * 64}"),
    ],
)
def test_other_files_are_refused_until_the_entry_is_removed(lock, found, message):
    lock.verify_or_add("A", FOUND)
    lock.verify_or_add("B", FOUND)
    before = lock.path.read_bytes()
    with pytest.raises(LockError, match=message) as caught:
        lock.verify_or_add("A", found)
    assert str(caught.value).endswith(
        f'To accept it on purpose, remove the entry "A" from {lock.path} and fetch again'
    )
    assert lock.path.read_bytes() == before

    content = json.loads(before)
    del content["models"]["A"]
    lock.path.write_text(json.dumps(content))
    lock.verify_or_add("A", found)
    assert lock.record("A") == found
    assert lock.record("B") == FOUND


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "\x80", '{"version": 1}', '{"version": 1, "models": []}'),
        *(
            f'{{"version": 1, "models": {{"A": {entry}}}}}'
            for entry in ("{}", '{"source": "x"}', '{"files": {}}', '{"source": "x", "files": []}')
        ),
    ],
)
def test_what_is_no_lock_file_is_left_alone(lock, text):
    lock.path.write_text(text, "latin-1")
    with pytest.raises(LockError, match=r"is not a model lock file .*: restore it, or remove it"):
        lock.record("A")
    with pytest.raises(LockError, match="is not a model lock file"):
        lock.verify_or_add("A", FOUND)
    assert lock.path.read_text("latin-1") == text
    lock.path.write_text('{"version": 2, "models": {}}')
    with pytest.raises(LockError, match="has version 2, this program knows only 1"):
        lock.record("A")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    lock = ModelLock(tmp_path / "file" / "models.lock.json")
    with pytest.raises(LockError, match=r"file/models.lock.json can't be written"):
        lock.verify_or_add("A", FOUND)


def test_no_record_is_lost_when_several_are_written_at_once(lock):
    names = [f"model-{number}" for number in range(24)]
    start = threading.Barrier(len(names))

    def add(name):
        start.wait(5)
        # An object of its own, as another process would have.
        ModelLock(lock.path).verify_or_add(name, FOUND)

    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [lock.record(name) for name in names] == [FOUND] * len(names)


def test_what_was_fetched_before_is_compared(lock, tmp_path):
    """Another lock file than that of the first fetch may be named."""
    contents = {"inference.yml": b"yml", "inference.onnx": b"onnx"}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    lock.verify_files("A", tmp_path, print)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    assert lock.record("A") == ModelRecord("the cache (fetched earlier)", digests)
    lock.verify_or_add("A", ModelRecord("https://models.example/A", digests, "a" * 64))
    lock.verify_files("A", tmp_path, print)
    (tmp_path / "inference.onnx").write_bytes(b"other")
    with pytest.raises(LockError, match=r"is not what .* has recorded .* Remove"):
        lock.verify_files("A", tmp_path, print)
    (tmp_path / "inference.onnx").unlink()
    with pytest.raises(LockError, match=r"inference\.onnx has SHA-256 nothing"):
        lock.verify_files("A", tmp_path, print)
