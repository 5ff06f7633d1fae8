"""Each limit, its exact error at every endpoint, and what it keeps from being done."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pytest
import requests

from leftovers import wait_until
from rest_service import rest_service
from tools.soak.endpoints import Endpoint, open_endpoints
from tools.soak.service import Addresses
from tritonpose.errors import InvalidRequestError, ServerUnavailableError, TritonPoseError
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_server.embedded import resources
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.embedded.tuning import PipelineTuning, Tuning

LIMITS = {
    "max_image_bytes": 600_000,
    "max_pixels": 2_000_000,
    "max_persons": 1,
    "deadline_s": 1,
}
# Limits hold over all instances.
QUEUE = PipelineTuning(workers=2, threads=2, max_in_flight=24, instances=2)
FULL = "requests (max_in_flight) are already in flight"
LATE = "the answer was not ready within 1 s (deadline_s)"

T = TypeVar("T")


@pytest.fixture(scope="module")
def tight(
    embed: Callable[..., EmbeddedServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    """A server with tight limits."""
    repository = tmp_path_factory.mktemp("tight") / "models"
    shutil.copytree(resources.model_repository(), repository)
    config = repository / "human_keypoint_detection" / "config.pbtxt"
    text = config.read_text("utf-8")
    for key, value in LIMITS.items():
        text, found = re.subn(
            rf'(key: "{key}"  value: {{ string_value: )"\w+"', rf'\1"{value}"', text
        )
        assert found == 1, key
    config.write_text(text, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "model_repository", lambda: repository)
        with embed(tuning=Tuning(pipeline=QUEUE)) as running:
            yield running


@pytest.fixture(scope="module")
def addresses(tight: EmbeddedServer) -> Iterator[Addresses]:
    with rest_service(tight.grpc_url) as root:
        yield Addresses(f"{root}human-keypoint-detection", tight.grpc_url, tight.http_url)


def at_every_endpoint(addresses: Addresses, ask: Callable[[Endpoint], Awaitable[T]]) -> list[T]:
    async def work() -> list[T]:
        endpoints = open_endpoints(addresses)
        try:
            return [await ask(endpoint) for endpoint in endpoints]
        finally:
            for endpoint in endpoints:
                await endpoint.close()

    return asyncio.run(work())


async def outcome(asked: Awaitable[PoseResponse]) -> PoseResponse | TritonPoseError:
    try:
        return await asked
    except TritonPoseError as error:
        return error


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            b"\xff\xd8\xff" + bytes(700_000),
            "`image` has 700003 bytes; up to 600000 (max_image_bytes) are accepted: ",
        ),
        (
            cv2.imencode(".png", np.zeros((2000, 1001, 3), np.uint8))[1].tobytes(),
            "the image is 1001x2000, 2002000 pixels; up to 2000000 (max_pixels) are accepted: ",
        ),
    ],
    ids=["bytes", "pixels"],
)
def test_images_that_are_too_large(addresses: Addresses, image: bytes, message: str) -> None:
    for error in at_every_endpoint(
        addresses, lambda endpoint: outcome(endpoint.infer(InferRequest(image=image)))
    ):
        assert isinstance(error, InvalidRequestError)
        assert message in str(error)


def test_more_persons_than_are_given(addresses: Addresses, photo: Path) -> None:
    request = InferRequest(image=photo.read_bytes())
    answers = at_every_endpoint(addresses, lambda endpoint: endpoint.infer(request))
    assert [(len(answer.boxes), answer.truncated) for answer in answers] == [(1, True)] * 5
    boxes = np.tile(np.array([[0, 0, 50, 90]], np.float32), (2, 1))
    transport = connect(addresses.grpc)
    with pytest.raises(InvalidRequestError, match=r"has 2 boxes; up to 1 \(max_persons\)"):
        transport.infer(InferRequest(image=photo.read_bytes(), person_boxes=boxes))
    assert not transport.infer(InferRequest(image=photo.read_bytes(), det_threshold=0.99)).truncated
    transport.close()


def test_too_many_requests_and_too_little_time(addresses: Addresses, photo: Path) -> None:
    """All are answered, or refused with a reason to try again."""
    request = InferRequest(image=photo.read_bytes())

    async def flood(endpoint: Endpoint) -> list[PoseResponse | TritonPoseError]:
        return await asyncio.gather(*(outcome(endpoint.infer(request)) for _ in range(200)))

    # A stream has limits of its own.
    grpc, http, rest, _, hps = at_every_endpoint(addresses, flood)
    for outcomes in (grpc, http, rest, hps):
        answers = [each for each in outcomes if isinstance(each, PoseResponse)]
        assert answers
        assert all(len(answer.boxes) == 1 for answer in answers)
        refusals = [each for each in outcomes if not isinstance(each, PoseResponse)]
        others = [each for each in refusals if not isinstance(each, ServerUnavailableError)]
        assert (len(refusals) > 0, others) == (True, [])
        reasons = Counter(
            reason for each in refusals for reason in (FULL, LATE) if reason in str(each)
        )
        assert reasons.total() == len(refusals)
        assert reasons.total() > reasons[LATE]
    for error in (each for each in (*grpc, *http) if isinstance(each, TritonPoseError)):
        assert error.code in ("busy", "deadline")


def executions(server: EmbeddedServer, model: str) -> int:
    """How many images a model has been given."""
    text = requests.get(server.metrics_url, timeout=10).text
    counts = re.findall(rf'^nv_inference_count{{.*model="{model}".*}} (\d+)', text, re.MULTILINE)
    return sum(map(int, counts))


def test_what_nobody_waits_for_is_not_computed(
    tight: EmbeddedServer, installed_open_models: list[Path], photo: Path
) -> None:
    detector = installed_open_models[0].name
    patient = connect(tight.grpc_url)
    request = InferRequest(image=photo.read_bytes(), det_threshold=0.0)
    patient.infer(request)
    before = executions(tight, detector)

    async def hang_up() -> list[PoseResponse | TritonPoseError]:
        endpoint = open_endpoints(Addresses("", tight.grpc_url, tight.http_url))[0]
        asked = [asyncio.ensure_future(endpoint.infer(request)) for _ in range(20)]
        await asyncio.sleep(0.15)
        for each in asked:
            each.cancel()
        ended = await asyncio.gather(*asked, return_exceptions=True)
        await endpoint.close()
        return [each for each in ended if isinstance(each, PoseResponse)]

    answered = asyncio.run(hang_up())
    assert len(patient.infer(request).boxes) == 1
    # Those under way when their clients hung up, and the patient one's.
    assert wait_until(lambda: executions(tight, detector) > before)
    assert executions(tight, detector) - before < 20 - len(answered)
    patient.close()
