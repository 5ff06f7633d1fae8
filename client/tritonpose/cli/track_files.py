"""The files of ``tritonpose track``: a video and texts of each source, written frame by frame."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol

from tritonpose.errors import ConfigError, TritonPoseError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tritonpose.export.tracks import TrackFormat
    from tritonpose.saving import TakenNames
    from tritonpose.tracking import TrackedResult
    from tritonpose_pipeline.keypoint_schema import KeypointSchema

    Draw = Callable[[], NDArray[np.uint8]]

_ENDINGS = {
    "video": "_res.mp4",
    "json": "_res.jsonl",
    "coco": "_coco.json",
    "posetrack": "_posetrack.json",
    "mot": "_mot.txt",
}
TRACK_FILES = tuple(_ENDINGS)
"""What can be saved of a source."""

_NUMBERED_HOST = re.compile(r"[\d._]+")
_KINDS = {".jsonl": "json", ".json": "coco", ".txt": "mot"}


def track_file_kind(save_path: str) -> str | None:
    """Tell which of `TRACK_FILES` a path means by its suffix; None where it means a directory.

    ConfigError: files of this suffix can't be written.
    """
    from tritonpose.saving import file_suffix
    from tritonpose.video_writer import VIDEO_SUFFIXES

    kinds = {**dict.fromkeys(VIDEO_SUFFIXES, "video"), **_KINDS}
    suffix = file_suffix(save_path)
    if suffix is not None and suffix not in kinds:
        raise ConfigError(
            f"can't save to {save_path!r}: name a directory, or a file that ends in "
            f"{', '.join(VIDEO_SUFFIXES)} (video), .jsonl, .json (COCO) or .txt (MOT)"
        )
    return None if suffix is None else kinds[suffix]


class _Sink(Protocol):
    def write(self, result: TrackedResult, draw: Draw) -> None: ...

    def close(self) -> None: ...


class TrackFiles:
    """The files of one source.

    They take their places when they are closed, with the frames that were written by then; one that
    can't be written is left out. Without a frame there are none.

    Attributes:
        place: What the user calls them.
        saved: Whether they are there.
    """

    def __init__(self, paths: dict[str, Path], place: str | None = None) -> None:
        self.place = place
        self.saved = False
        self._paths = paths
        self._files = ExitStack()
        self._sinks: list[_Sink] = []
        self._written = False

    def write(self, result: TrackedResult, draw: Draw) -> None:
        """Add a frame, which ``draw`` draws in BGR; TritonPoseError: it can't be saved."""
        if not self._sinks:
            for kind, path in self._paths.items():
                self._sinks.append(self._files.enter_context(closing(_sink(kind, path))))
        for sink in self._sinks:
            sink.write(result, draw)
        self._written = True

    def close(self) -> None:
        """Finish the files; may be called again. TritonPoseError: one can't be saved."""
        self._files.close()
        self.saved = self._written and bool(self._paths)


def files_in_directory(
    directory: str, source: str, kinds: tuple[str, ...], taken: TakenNames
) -> TrackFiles:
    """Choose the names of a source's files in a directory, apart from those of other sources."""
    from tritonpose.inputs.addresses import SCHEME
    from tritonpose.saving import fitting, last_part

    # Of any address, as of web pages: without host, credentials and query.
    name = fitting(last_part(SCHEME.sub("http://", source, count=1)))
    if _NUMBERED_HOST.fullmatch(name.name):
        name = PurePath(f"{name.name}.mp4")
    stem = taken.claim(PurePath(name.name), None, None).stem
    paths = {kind: Path(directory) / f"{stem}{_ENDINGS[kind]}" for kind in kinds}
    return TrackFiles(paths, os.path.join(directory, f"{stem}_*"))  # noqa: PTH118 (keeps "./")


def _sink(kind: str, path: Path) -> _Sink:
    from tritonpose.export.tracks import COCO_TRACKS, POSETRACK, mot_text

    if kind == "video":
        return _Video(path)
    if kind == "json":
        return _Lines(path, lambda result: json.dumps(result.json["res"]) + "\n")
    if kind == "mot":
        return _Lines(path, mot_text)
    return _DataSet(path, COCO_TRACKS if kind == "coco" else POSETRACK)


class _Video:
    """What is drawn, as a video."""

    def __init__(self, path: Path) -> None:
        from tritonpose.video_writer import VideoWriter

        self._writer = VideoWriter(path)
        self.close = self._writer.close

    def write(self, result: TrackedResult, draw: Draw) -> None:
        self._writer.write(draw(), result.timestamp)


class _Text:
    """A file of text that takes its place when it is closed."""

    def __init__(self, path: Path) -> None:
        from tritonpose.whole_files import whole_file

        self._path = path
        self._stack = ExitStack()
        with self._errors():
            self._file: BinaryIO = self._stack.enter_context(whole_file(path))

    def close(self) -> None:
        with self._errors():
            self._stack.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Leave nothing of the file where it can't be written, and name it in the error."""
        try:
            yield
        except OSError as error:
            # Whatever closing brings up now is the consequence of the error.
            with suppress(OSError):
                self._stack.__exit__(type(error), error, error.__traceback__)
            reason = error.strerror or error
            raise TritonPoseError(f"can't save to {str(self._path)!r}: {reason}") from error


class _Lines(_Text):
    """Lines of each frame."""

    def __init__(self, path: Path, text_of: Callable[[TrackedResult], str]) -> None:
        super().__init__(path)
        self._text_of = text_of

    def write(self, result: TrackedResult, _: Draw) -> None:
        text = self._text_of(result).encode(errors="backslashreplace")
        with self._errors():
            self._file.write(text)


class _DataSet(_Text):
    """A data set of images and annotations, which wait in a file without a name for the end."""

    def __init__(self, path: Path, kind: TrackFormat) -> None:
        super().__init__(path)
        self._kind = kind
        self._images = self._people = 0
        self._schema: KeypointSchema | None = None
        with self._errors():
            later = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115
            self._later: IO[bytes] = self._stack.enter_context(later)
            self._file.write(b'{"images": [')

    def write(self, result: TrackedResult, _: Draw) -> None:
        with self._errors():
            self._schema = result.keypoint_schema
            self._put(self._file, self._images, self._kind.image(result, self._images + 1))
            self._images += 1
            for person in self._kind.people(result, self._images):
                self._put(self._later, self._people, {"id": self._people + 1, **person})
                self._people += 1

    def close(self) -> None:
        with self._errors():
            if not self._later.closed:
                self._later.seek(0)
                self._file.write(b'],\n"annotations": [')
                shutil.copyfileobj(self._later, self._file, 2**20)
                category = json.dumps(self._kind.category(self._schema)) if self._schema else ""
                self._file.write(f'],\n"categories": [{category}]}}\n'.encode())
        super().close()

    def _put(self, file: IO[bytes], number: int, entry: dict[str, Any]) -> None:
        text = json.dumps(entry).encode()
        file.write((b",\n" if number else b"\n") + text)
