"""Fetching models from one source after the other."""

import hashlib
import io
import tarfile
import threading
from dataclasses import replace

import pytest

from file_server import Route
from tritonpose_server.models.errors import FetchError
from tritonpose_server.models.fetch import sources as sources_module
from tritonpose_server.models.fetch.download import DownloadLimits
from tritonpose_server.models.fetch.lock import LockError, ModelLock
from tritonpose_server.models.fetch.sources import (
    DEFAULT_SOURCES,
    MIRROR_VARIABLE,
    PLAIN_HTTP_VARIABLE,
    ModelSource,
    answering_sources,
    default_sources,
    fetch_model,
)

NAME = "PP-TinyPose_128x96"
# Nothing listens on port 9 of this machine.
CLOSED = "http://127.0.0.1:9/{model}"
MODEL = {
    "inference.yml": b"Global: {}\n",
    "inference.json": b'{"program": {}}',
    "inference.pdiparams": bytes(range(256)) * 40,
}
DIGESTS = {name: hashlib.sha256(data).hexdigest() for name, data in MODEL.items()}
LIMITS = DownloadLimits(attempts=2, backoff_s=0.01)


def packed(files=MODEL):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{NAME}_infer/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def archives(server, title="archives", route=None):
    """A source of archives that has the model, or whatever the route answers."""
    server.add(f"/{title}/{NAME}_infer.tar", route or Route(packed()))
    return ModelSource(title, f"{server.address}/{title}/{{model}}_infer.tar")


def single_files(server, title="files", files=MODEL):
    for name, data in files.items():
        server.add(f"/{title}/{NAME}/{name}", Route(data))
    return ModelSource(title, f"{server.address}/{title}/{{model}}/{{file}}")


def content(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def fetch(tmp_path, *sources, **options):
    """Fetch from these sources; nothing but the model is left."""
    source = fetch_model(NAME, tmp_path / NAME, sources=sources, limits=LIMITS, **options)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    return source


def failed(tmp_path, *sources, **options):
    """Lines of the error after the first; no new file is left."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FetchError) as caught:
        fetch_model(NAME, tmp_path / NAME, sources=sources, **{"limits": LIMITS, **options})
    assert sorted(tmp_path.rglob("*")) == before
    first, *lines = str(caught.value).splitlines()
    assert first == f"{NAME} can't be fetched:"
    return lines


# One source


@pytest.mark.parametrize("kind", [archives, single_files])
def test_a_model_is_fetched(server, tmp_path, kind):
    source = kind(server)
    assert fetch(tmp_path, source) is source
    assert content(tmp_path / NAME) == MODEL


@pytest.mark.parametrize(
    "graph", [{"inference.pdmodel", "inference.pdiparams"}, {"inference.onnx"}]
)
def test_single_files_are_those_that_are_there(server, tmp_path, graph):
    files = {"inference.yml": b"Global: {}\n", **dict.fromkeys(graph, b"network")}
    fetch(tmp_path, single_files(server, files=files))
    assert content(tmp_path / NAME) == files


def test_an_optional_file_is_not_left_out_because_the_server_is_down(server, tmp_path):
    source = single_files(server)
    server.routes[f"/files/{NAME}/inference.json"] = Route(statuses=[503] * 9)
    server.add(f"/files/{NAME}/inference.onnx", Route(b"network"))
    assert "inference.json: the server answers 503" in failed(tmp_path, source)[0]


def test_incomplete_models_are_refused(server, tmp_path):
    source = single_files(server, files={"inference.yml": b"Global: {}\n"})
    (line,) = failed(tmp_path, source)
    assert f"{server.address}/files/{NAME}/{{file}}: holds no complete model" in line


# Several sources


def test_sources_are_asked_in_order_until_one_has_the_model(server, tmp_path):
    sources = [
        archives(server, "first", Route(statuses=[404])),
        # Unpacking gets as far as the first file.
        archives(server, "damaged", Route(packed({"inference.onnx": b"network", **MODEL})[:4000])),
        single_files(server, "second"),
        archives(server, "third"),
    ]
    lines = []
    assert fetch(tmp_path, *sources, progress=lines.append) is sources[2]
    assert content(tmp_path / NAME) == MODEL
    assert [line for line in lines if "damaged" not in line] == [
        f"fetching {NAME} from first",
        f"first: {server.address}/first/{NAME}_infer.tar: the server answers 404 Not Found",
        f"fetching {NAME} from second",
    ]
    assert {path.split("/")[1] for path in server.paths()} == {"first", "damaged", "second"}
    assert server.paths()[0].startswith("/first/")


def test_only_sources_whose_server_answers_are_worth_a_try(server, tmp_path):
    answering = [archives(server, "missing", Route(statuses=[404])), single_files(server)]
    sources = [
        ModelSource("closed", CLOSED),
        ModelSource("no address", "{model}"),
        *answering,
    ]
    assert answering_sources(sources, patience_s=60) == tuple(answering)
    silent = ModelSource("silent", server.add("/silent", Route(silent=True)))
    assert answering_sources([silent], patience_s=0.1) == ()
    with pytest.raises(FetchError, match="no server that has it answers"):
        fetch_model(NAME, tmp_path / NAME, sources=())


def test_when_all_fail_each_has_its_line(server, tmp_path):
    page = Route(b"<html>", headers={"Content-Type": "text/html"})
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "inference.onnx").write_bytes(b"fetched before")
    lines = failed(
        tmp_path,
        ModelSource("closed", CLOSED),
        archives(server, "silent", Route(silent=True)),
        archives(server, "login", page),
        archives(server, "text", Route(b"Welcome!\n" * 99)),
        archives(server, "short", Route(packed()[:2000])),
        single_files(server, "empty", files={}),
        limits=replace(LIMITS, read_timeout_s=0.5),
    )
    expected = [
        ("closed", "refused"),
        ("silent", "does not answer"),
        ("login", "a web page instead of the file"),
        ("text", f"{server.address}/text/{NAME}_infer.tar: the archive is damaged or cut short"),
        ("short", "the archive is damaged or cut short"),
        ("empty", "404 Not Found"),
    ]
    # Without its description, no more of a model is asked for.
    assert [path for path in server.paths() if "empty" in path] == [f"/empty/{NAME}/inference.yml"]
    for line, (title, reason) in zip(lines, expected, strict=True):
        assert line.startswith(f"  {title}: http://127.0.0.1:")
        assert reason in line
    assert content(tmp_path / NAME) == {"inference.onnx": b"fetched before"}


def test_two_fetches_at_once_leave_one_good_directory(server, tmp_path):
    # Both have their files before either puts them in place.
    meeting = threading.Barrier(2)
    source = archives(server)
    outcomes = []

    class Meeting(ModelSource):
        def fetch(self, *arguments):
            found = super().fetch(*arguments)
            meeting.wait(5)
            outcomes.append(found.files)
            return found

    def run():
        lock = ModelLock(tmp_path / "models.lock.json")
        meeting_source = Meeting(source.title, source.address)
        fetch_model(NAME, tmp_path / NAME, sources=[meeting_source], lock=lock)

    for _ in range(5):
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert content(tmp_path / NAME) == MODEL
        assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, "models.lock.json"]
    assert outcomes == [DIGESTS] * 10


# Defaults and the mirror


def test_the_mirror_is_asked_first(server, tmp_path, monkeypatch):
    default = archives(server, "default")
    monkeypatch.setattr(sources_module, "DEFAULT_SOURCES", (default,))
    monkeypatch.setenv(MIRROR_VARIABLE, archives(server, "mirror").address)
    monkeypatch.delenv(PLAIN_HTTP_VARIABLE, raising=False)
    with pytest.raises(FetchError, match=f"not https: .* set {PLAIN_HTTP_VARIABLE}=1 where"):
        default_sources()
    monkeypatch.setenv(PLAIN_HTTP_VARIABLE, "1")
    assert fetch_model(NAME, tmp_path / NAME, limits=LIMITS).title == "mirror"
    assert server.paths() == [f"/mirror/{NAME}_infer.tar"]

    server.routes[f"/mirror/{NAME}_infer.tar"].statuses = [404]
    assert fetch_model(NAME, tmp_path / NAME, limits=LIMITS).title == "default"


def test_mirrors_that_are_none(monkeypatch, tmp_path):
    monkeypatch.setenv(MIRROR_VARIABLE, "")
    assert default_sources() == DEFAULT_SOURCES
    monkeypatch.setenv(MIRROR_VARIABLE, "https://me:secret@mirror.example/models")
    with pytest.raises(FetchError, match=rf"{MIRROR_VARIABLE} must .*\{{model\}}") as caught:
        fetch_model(NAME, tmp_path / NAME)
    assert str(caught.value).endswith("it is https://mirror.example/models")


# The lock file


@pytest.fixture
def lock(tmp_path):
    """A lock file beside the directory of models."""
    (tmp_path / "models").mkdir()
    return ModelLock(tmp_path / "models.lock.json")


def test_later_fetches_are_held_to_the_first(server, tmp_path, lock):
    models, good = tmp_path / "models", archives(server)
    fetch(models, good, lock=lock)
    record = lock.record(NAME)
    assert record.source == f"{server.address}/archives/{NAME}_infer.tar"
    assert record.files == DIGESTS
    assert record.archive_sha256 == hashlib.sha256(packed()).hexdigest()
    fetch(models, single_files(server), lock=lock)
    assert lock.record(NAME) == record

    changed = single_files(server, "changed", {**MODEL, "inference.json": b"{}"})
    lines = []
    assert fetch(models, changed, good, lock=lock, progress=lines.append) is good
    assert f"recorded is {DIGESTS['inference.json']}" in lines[1]
    (line,) = failed(models, changed, lock=lock)
    assert f'remove the entry "{NAME}" from {lock.path} and fetch again' in line
    assert content(models / NAME) == MODEL


def test_passwords_are_not_recorded(server, tmp_path, lock):
    address = archives(server).address.replace("//", "//me:secret@")
    fetch(tmp_path / "models", ModelSource("x", address), lock=lock)
    assert "secret" not in lock.path.read_text()


def test_a_malformed_lock_file_is_found_before_any_request(server, tmp_path, lock):
    lock.path.write_text("{}")
    with pytest.raises(LockError, match="is not a model lock file"):
        fetch_model(NAME, tmp_path / NAME, sources=[archives(server)], lock=lock)
    assert server.requests == []
