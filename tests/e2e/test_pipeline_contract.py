"""The tensors of the pipeline model, its errors, and that errors cost nobody else anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tritonpose.triton_http import CLIENT_HEADERS
from tritonpose_server.embedded.server import EmbeddedServer

Tensors = dict[str, npt.NDArray[Any]]
Infer = Callable[..., Tensors]

OUTPUTS = ("boxes", "det_scores", "keypoints", "kpt_scores")
TYPES = {"uint8": "UINT8", "float32": "FP32", "int32": "INT32", "object": "BYTES"}


@pytest.fixture(scope="session", params=["grpc", "http"])
def infer(request: pytest.FixtureRequest, server: EmbeddedServer) -> Infer:
    """Calls the pipeline model with plain tensors, as any Triton client would."""
    module = tritonclient.grpc if request.param == "grpc" else tritonclient.http
    url = server.grpc_url if request.param == "grpc" else server.http_url
    client = module.InferenceServerClient(url.split("//")[1])

    def call(parameters: dict[str, object] | None = None, **tensors: npt.NDArray[Any]) -> Tensors:
        inputs = []
        for name, value in tensors.items():
            tensor = module.InferInput(name, list(value.shape), TYPES[value.dtype.name])
            tensor.set_data_from_numpy(value)
            inputs.append(tensor)
        result = client.infer(
            "human_keypoint_detection",
            inputs,
            parameters=parameters,
            # A copy: the HTTP client writes a number into it, which the gRPC client does not take.
            headers=dict(CLIENT_HEADERS),
        )
        return {name: result.as_numpy(name) for name in OUTPUTS}

    return call


def encoded(photo: Path) -> npt.NDArray[np.uint8]:
    return np.fromfile(photo, np.uint8)


def test_shapes_and_types(infer: Infer, photo: Path) -> None:
    result = infer(image=encoded(photo))
    count = len(result["boxes"])
    assert count == 2
    assert {name: value.shape for name, value in result.items()} == {
        "boxes": (count, 4),
        "det_scores": (count,),
        "keypoints": (count, 17, 3),
        "kpt_scores": (count,),
    }
    assert all(value.dtype == np.float32 for value in result.values())
    height, width = cv2.imread(str(photo)).shape[:2]
    x1, y1, x2, y2 = result["boxes"].T
    assert ((x1 >= 0) & (x1 < x2) & (x2 <= width) & (y1 >= 0) & (y1 < y2) & (y2 <= height)).all()
    assert (np.diff(result["det_scores"]) <= 0).all()
    np.testing.assert_allclose(result["kpt_scores"], result["keypoints"][..., 2].mean(axis=1))
    middles = (result["boxes"][:, :2] + result["boxes"][:, 2:]) / 2
    hips = result["keypoints"][:, 11:13, :2].mean(axis=1)
    assert (np.abs(hips - middles) < 0.25 * (result["boxes"][:, 2:] - result["boxes"][:, :2])).all()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp"])
def test_every_format_gives_what_the_frame_gives(infer: Infer, photo: Path, suffix: str) -> None:
    frame = cv2.imread(str(photo))
    quality = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []  # 101 is lossless
    _, data = cv2.imencode(suffix, frame, quality)
    from_file, from_frame = infer(image=data.reshape(-1)), infer(frame=frame)
    assert len(from_frame["boxes"]) == 2
    for name in OUTPUTS:
        np.testing.assert_array_equal(from_file[name], from_frame[name])


def test_nobody(infer: Infer) -> None:
    result = infer(frame=np.full((480, 640, 3), 127, np.uint8))
    assert {name: value.shape for name, value in result.items()} == {
        "boxes": (0, 4),
        "det_scores": (0,),
        "keypoints": (0, 17, 3),
        "kpt_scores": (0,),
    }


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.6, 1.0])
def test_threshold_is_strict_and_zero_counts(infer: Infer, photo: Path, threshold: float) -> None:
    everyone = infer(image=encoded(photo), det_threshold=np.zeros(1, np.float32))["det_scores"]
    assert len(everyone) > 2
    chosen = infer(image=encoded(photo), det_threshold=np.array([threshold], np.float32))
    np.testing.assert_allclose(chosen["det_scores"], everyone[everyone > threshold], atol=1e-6)


def test_more_people_than_one_batch_holds(infer: Infer, photo: Path) -> None:
    small = cv2.resize(cv2.imread(str(photo))[500:960, 1200:1600], (100, 115))
    crowd = np.tile(small, (4, 16, 1))
    result = infer(frame=crowd, det_threshold=np.array([0.02], np.float32))
    # The open keypoint model takes 32 crops at a time.
    assert len(result["boxes"]) > 32
    one_by_one = infer(frame=crowd, det_threshold=result["det_scores"][1:2])
    assert len(one_by_one["boxes"]) == 1
    np.testing.assert_allclose(one_by_one["keypoints"], result["keypoints"][:1], atol=1e-2)


def test_flip_and_udp_change_little(infer: Infer, photo: Path) -> None:
    plain = infer(image=encoded(photo))
    for choice in ({"flip": True}, {"use_udp": True}, {"flip": True, "use_udp": True}):
        refined = infer(choice, image=encoded(photo))
        distance = np.abs(refined["keypoints"] - plain["keypoints"])[..., :2].max(axis=2)
        assert 0 < np.median(distance) < 4, choice


def test_given_boxes_replace_the_detector(infer: Infer, photo: Path) -> None:
    detected = infer(image=encoded(photo))
    boxes = np.ascontiguousarray(detected["boxes"][::-1])
    given = infer(image=encoded(photo), person_boxes=boxes)
    np.testing.assert_array_equal(given["boxes"], boxes)
    np.testing.assert_array_equal(given["det_scores"], np.ones(2, np.float32))
    np.testing.assert_allclose(given["keypoints"], detected["keypoints"][::-1], atol=1e-2)
    nobody = infer(image=encoded(photo), person_boxes=np.zeros((0, 4), np.float32))
    assert nobody["keypoints"].shape == (0, 17, 3)


FRAME = np.zeros((32, 32, 3), np.uint8)
PNG = np.asarray(cv2.imencode(".png", FRAME)[1]).reshape(-1)
ONES = np.ones(2, np.float32)
NAN_BOX = np.full((1, 4), np.nan, np.float32)
FLAT_BOX = np.array([[0, 0, 9, 9], [5, 5, 5, 9]], np.float32)
LETTER = np.frombuffer(b"This is a letter.\n" * 9, np.uint8)
NO_NUMBER = "[invalid_request] `det_threshold` must be a number from 0 to 1, got "
NO_IMAGE = "[invalid_image] `image` is not an image the server decodes: "
NO_BOOLEAN = "[invalid_request] request parameter `flip` must be true or false"
NOBODY = "[invalid_request] no detector model 'nobody' is installed on this server; installed: Nano"


# Messages without a code are Triton's, which checks shapes and types before the pipeline does.
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "exactly one of `image`"),
        ({"image": PNG, "frame": FRAME}, "[invalid_image] send exactly one of `image`"),
        (
            {"image": LETTER},
            f"{NO_IMAGE}it is text, beginning with",
        ),
        ({"image": PNG[:0]}, "[invalid_image] `image` is empty"),
        ({"image": PNG[:50]}, "[damaged_image] `image` begins like a PNG file"),
        ({"image": np.zeros((2, 2), np.uint8)}, "unexpected shape for input 'image'"),
        ({"image": np.zeros(4, np.float32)}, "data-type is 'FP32'"),
        ({"image": np.array([b"x"], object)}, "data-type is 'BYTES'"),
        ({"frame": np.zeros((9, 9), np.uint8)}, "unexpected shape for input 'frame'"),
        ({"frame": FRAME[None]}, "unexpected shape for input 'frame'"),
        ({"frame": np.zeros((9, 9, 4), np.uint8)}, "unexpected shape for input 'frame'"),
        ({"picture": FRAME}, "unexpected inference input 'picture'"),
        ({"frame": FRAME, "det_threshold": ONES[:1] * np.nan}, f"{NO_NUMBER}nan"),
        ({"frame": FRAME, "det_threshold": ONES[:1] * np.inf}, f"{NO_NUMBER}inf"),
        ({"frame": FRAME, "det_threshold": ONES[:1] * -np.inf}, f"{NO_NUMBER}-inf"),
        ({"frame": FRAME, "det_threshold": np.ones(1, np.int32)}, "data-type is 'INT32'"),
        ({"frame": FRAME, "det_threshold": ONES}, "unexpected shape for input 'det_threshold'"),
        ({"frame": FRAME, "det_threshold": ONES[:0]}, "unexpected shape for input"),
        ({"frame": FRAME, "person_boxes": np.zeros((2, 5), np.float32)}, "unexpected shape for"),
        ({"frame": FRAME, "person_boxes": NAN_BOX}, "box 0 is [nan, nan, nan, nan]"),
        ({"frame": FRAME, "roi": np.zeros((3, 3), np.float32)}, "unexpected shape for input 'roi'"),
        ({"frame": FRAME, "roi": NAN_BOX.reshape(2, 2)}, "[invalid_request] `roi` must be a polyg"),
        (
            {"frame": FRAME, "person_boxes": FLAT_BOX},
            "[invalid_request] `person_boxes` must",
        ),
        ({"frame": FRAME, "parameters": {"detector": "nobody"}}, NOBODY),
        ({"frame": FRAME, "parameters": {"flip": "maybe"}}, NO_BOOLEAN),
    ],
)
def test_wrong_requests_are_refused_with_a_code_and_a_reason(
    infer: Infer, photo: Path, inputs: dict[str, Any], message: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        infer(**inputs)
    text = caught.value.message()
    assert text.startswith(message) if message.startswith("[") else message in text
    assert caught.value.status() in ("StatusCode.INVALID_ARGUMENT", "400")
    assert len(infer(image=encoded(photo))["boxes"]) == 2
