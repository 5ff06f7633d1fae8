"""The contestants: one interface for pipelines in processes, Triton's protocols and REST."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Literal

import httpx

from tools.answers import poses_of
from tools.benchmark.load import Rate, measure_rate
from tools.benchmark.worker import Worker
from tools.benchmark.workload import Sample
from tools.errors import ToolError
from tools.programs import Program, free_ports
from tritonpose import create_pipeline
from tritonpose.config import PIPELINE_NAME
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_server.embedded.server import EmbeddedServer

Role = Literal["rival", "limit", "ours"]
"""What it is compared as: PaddleX, the bare engine that bounds what is possible, or ours."""

_TIMEOUT_SECONDS = 600.0
_START_SECONDS = 180.0


class Contestant(ABC):
    """Answers images; must be idle while it gets none. Its `role` is what it is compared as."""

    def __init__(self, key: str, label: str, role: Role, *, parallel: bool = True) -> None:
        self.key = key
        self.label = label
        self.role: Role = role
        self.parallel = parallel

    @abstractmethod
    def answer(self, sample: Sample) -> PoseResponse:
        """Find the people in an image."""

    @abstractmethod
    def processes(self) -> list[int]:
        """List the roots of its processes; this process isn't one of them."""

    @abstractmethod
    def close(self) -> None:
        """End what was started for this contestant alone."""

    def time_each(self, samples: Sequence[Sample]) -> list[float]:
        """Measure the seconds that each image takes, one after the other."""
        seconds = []
        for sample in samples:
            began = time.perf_counter()
            self.answer(sample)
            seconds.append(time.perf_counter() - began)
        return seconds

    def rate(self, samples: Sequence[Sample], concurrency: int, skip: int, count: int) -> Rate:
        """Measure images per second with several in flight; see `measure_rate`."""
        return measure_rate(self.answer, samples, concurrency, skip, count)


def pairs(contestants: Sequence[Contestant]) -> tuple[tuple[str, str], ...]:
    """Choose which contestants are compared, as keys of ours and of the other.

    Our first is compared with all rivals and the limit; our others only with rivals that are
    servers, too.
    """
    ours = [each for each in contestants if each.role == "ours"]
    others = [each for each in contestants if each.role != "ours"]
    return tuple(
        (one.key, other.key)
        for one in ours
        for other in others
        if one is ours[0] or other.role == "limit" or other.parallel
    )


class InProcessContestant(Contestant):
    """A pipeline without a server, in a worker process that times itself.

    If parallel, the worker has a method ``rate``. It is closed with this.
    """

    def __init__(
        self, key: str, label: str, role: Role, *, parallel: bool, start: Callable[[], Worker]
    ) -> None:
        super().__init__(key, label, role, parallel=parallel)
        self._start = start
        self.worker = start()

    def answer(self, sample: Sample) -> PoseResponse:
        """Find the people in an image."""
        return PoseResponse.from_paddlex(self.worker.call("answer", sample=sample.as_json()))

    def time_each(self, samples: Sequence[Sample]) -> list[float]:
        """Measure the seconds that each image takes, one after the other."""
        described = [sample.as_json() for sample in samples]
        seconds: list[float] = self.worker.call("time_each", samples=described)
        return seconds

    def rate(self, samples: Sequence[Sample], concurrency: int, skip: int, count: int) -> Rate:
        """Measure images per second with several in flight; see `measure_rate`."""
        if not self.parallel:
            feed = itertools.islice(itertools.cycle(samples), skip + count)
            return Rate(count / sum(self.time_each(list(feed))[skip:]), skip + count)
        work = {"concurrency": concurrency, "skip": skip, "count": count}
        described = [sample.as_json() for sample in samples]
        return Rate(*self.worker.call("rate", samples=described, **work))

    def processes(self) -> list[int]:
        """List the worker."""
        return [self.worker.process.pid]

    def close(self) -> None:
        """End the worker."""
        self.worker.close()

    def start_seconds(self, sample: Sample) -> float:
        """Measure the seconds from the start of another such process to its first answer."""
        began = time.perf_counter()
        with contextlib.closing(self._start()) as worker:
            worker.call("answer", sample=sample.as_json())
            return time.perf_counter() - began


class TritonContestant(Contestant):
    """The served pipeline, called by the client's transport alone, over ``url``."""

    def __init__(self, key: str, label: str, url: str, server: EmbeddedServer) -> None:
        super().__init__(key, label, "ours")
        self._server = server
        self._transport = connect(url, _TIMEOUT_SECONDS)

    def answer(self, sample: Sample) -> PoseResponse:
        """Find the people in an image."""
        image = sample.path.read_bytes()
        return self._transport.infer(InferRequest(image=image, det_threshold=sample.det_threshold))

    def processes(self) -> list[int]:
        """List the server."""
        return [] if self._server.pid is None else [self._server.pid]

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


class PredictContestant(TritonContestant):
    """The client's ``pipeline.predict`` over many files; for images per second only."""

    def __init__(self, server: EmbeddedServer) -> None:
        super().__init__("predict", "tritonpose, predict()", server.grpc_url, server)
        self._url = server.grpc_url

    def rate(self, samples: Sequence[Sample], concurrency: int, skip: int, count: int) -> Rate:
        """Measure results per second of ``predict`` over an endless list of files."""
        files = (str(sample.path) for sample in itertools.cycle(samples))
        with (
            create_pipeline(PIPELINE_NAME, url=self._url, max_in_flight=concurrency) as pipeline,
            contextlib.closing(pipeline.predict(files)) as results,
        ):
            rate = measure_rate(lambda _: next(results), samples, 1, skip, count)
            return Rate(rate.per_second, rate.images + concurrency)


class RestContestant(Contestant):
    """A REST service with PaddleX's contract, which answers with numbers only.

    ``command`` gets ``--port`` added, and ends with this; ``behind`` are roots of other processes
    that work for it.
    """

    def __init__(
        self,
        key: str,
        label: str,
        role: Role,
        command: Sequence[str],
        variables: Mapping[str, str] | None = None,
        behind: Sequence[int] = (),
    ) -> None:
        super().__init__(key, label, role)
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        self._service = Program(label, [*command, "--port", str(port)], variables)
        self._service.wait_until_ready(f"{url}/health", _START_SECONDS)
        self._behind = behind
        self._client = httpx.Client(
            base_url=url,
            timeout=_TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=False,
        )

    def answer(self, sample: Sample) -> PoseResponse:
        """Find the people in an image."""
        response = self.post("/human-keypoint-detection", _document(sample))
        return poses_of(response.json()["result"]["persons"])

    def post(self, path: str, document: object) -> httpx.Response:
        """Send JSON; ToolError unless it is answered with a success."""
        try:
            response = self._client.post(path, json=document)
        except httpx.HTTPError as error:
            raise ToolError(f"{self.label} does not answer: {error}") from error
        if not response.is_success:
            raise ToolError(f"{self.label} refused a request: {response.text}")
        return response

    def processes(self) -> list[int]:
        """List the service and what is behind it."""
        return [self._service.process.pid, *self._behind]

    def close(self) -> None:
        """Stop the service."""
        self._client.close()
        self._service.close()


class BatchContestant(Contestant):
    """The batches of our REST service: one call at a time, of as many images as are in flight."""

    def __init__(self, rest: RestContestant) -> None:
        super().__init__("rest_batch", f"{rest.label}, batch", "ours")
        self._rest = rest

    def answer(self, sample: Sample) -> PoseResponse:
        """Find the people in an image."""
        (poses,) = self._answers([sample])
        return poses

    def rate(self, samples: Sequence[Sample], concurrency: int, skip: int, count: int) -> Rate:
        """Measure images per second of calls, each timed from its start to its last line."""
        feed = itertools.cycle(samples)
        calls = [list(itertools.islice(feed, concurrency)) for _ in range(-(-count // concurrency))]
        self._answers(list(itertools.islice(feed, skip)))
        began = time.perf_counter()
        for call in calls:
            self._answers(call)
        images = concurrency * len(calls)
        return Rate(images / (time.perf_counter() - began), skip + images)

    def processes(self) -> list[int]:
        """List the service and what is behind it."""
        return self._rest.processes()

    def close(self) -> None:
        """Do nothing: it is the other contestant's service."""

    def _answers(self, samples: Sequence[Sample]) -> list[PoseResponse]:
        if not samples:
            return []
        path = "/human-keypoint-detection/batch"
        response = self._rest.post(path, [_document(sample) for sample in samples])
        lines = sorted(map(json.loads, response.text.splitlines()), key=itemgetter("index"))
        if failed := [line["errorMsg"] for line in lines if line["errorCode"]]:
            raise ToolError(f"{self.label} refused an image: {failed[0]}")
        return [poses_of(line["result"]["persons"]) for line in lines]


def _document(sample: Sample) -> dict[str, object]:
    """Make the JSON of a request of PaddleX's contract for numbers only."""
    document: dict[str, object] = {
        "image": base64.b64encode(sample.path.read_bytes()).decode("ascii"),
        "visualize": False,
    }
    if sample.det_threshold is not None:
        document["detThreshold"] = sample.det_threshold
    return document
