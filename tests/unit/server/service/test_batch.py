"""Several images in one request: what a batch may be, and its lines."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from posted_batches import (
    FORM,
    JPEG,
    JSON,
    Triton,
    file,
    form,
    found,
    image,
    lines_of,
    number_of,
    post,
    requests,
)
from tritonpose.errors import InvalidRequestError, ServerError, ServerUnavailableError


def test_an_array_of_requests() -> None:
    triton = Triton()
    batch = requests(3)
    batch[1] |= {"detThreshold": 0.25, "logId": "mine", "roi": [[0, 0], [9, 0], [9, 9]]}
    lines = lines_of(post(batch, {**JSON, "X-Request-ID": "all"}, triton=triton))
    assert found(lines) == [0, 1, 2]
    assert [line["logId"] for line in lines] == ["all.0", "mine", "all.2"]
    assert {(line["errorCode"], line["errorMsg"]) for line in lines} == {(0, "Success")}
    by_number = sorted(triton.requests, key=number_of)
    assert [each.det_threshold for each in by_number] == [None, 0.25, None]
    assert [each.roi is None for each in by_number] == [True, False, True]
    assert [each.request_id for each in by_number] == ["all.0", "mine", "all.2"]


def test_options_of_the_query_hold_for_all_that_say_nothing_else() -> None:
    triton = Triton()
    batch = [{"image": image(0), "detThreshold": 0.75}, {"image": image(1)}]
    query = f"?detThreshold=0.25&logId=all&roi=&image={image(9)}"
    lines = lines_of(post([*batch, {}], query=query, triton=triton))
    assert lines.pop()["errorCode"] == 422
    assert [line["logId"] for line in lines] == ["all.0", "all.1"]
    thresholds = {number_of(each): each.det_threshold for each in triton.requests}
    assert thresholds == {0: 0.75, 1: 0.25}


@pytest.mark.parametrize("names", [["image"] * 3, ["a", "b", "c"], ["images[]"] * 3])
def test_a_form_of_files(names: list[str]) -> None:
    triton = Triton()
    parts = [file(number, name) for number, name in enumerate(names)]
    options = [("name=detThreshold", b"0.25"), ("name=logId", b"all")]
    body = form(*parts[:2], *options, parts[2])
    lines = lines_of(post(body, FORM, triton=triton))
    assert found(lines) == [0, 1, 2]
    assert [line["logId"] for line in lines] == ["all.0", "all.1", "all.2"]
    assert {each.det_threshold for each in triton.requests} == {0.25}
    assert {each.image for each in triton.requests} == {content for _, content in parts}


def test_many_files_of_a_form() -> None:
    assert found(lines_of(post(form(*map(file, range(60))), FORM))) == list(range(60))


def test_a_compressed_batch() -> None:
    body = gzip.compress(json.dumps(requests(2)).encode())
    assert found(lines_of(post(body, {**JSON, "Content-Encoding": "gzip"}))) == [0, 1]


def test_errors_of_images_do_not_end_the_others() -> None:
    async def behave(number: int) -> None:
        if number == 1:
            error = InvalidRequestError("refused")
            error.detail, error.code = "`image` begins like a JPEG file but", "damaged_image"
            raise error
        if number == 2:
            raise ServerUnavailableError("gone")
        if number == 3:
            raise RuntimeError("a fault")
        if number == 4:
            raise ServerError("wrong")

    batch: list[Any] = requests(6)
    batch += [{"image": "@"}, {"detThreshold": 1}, "text", {"image": "https://a.example/b.jpg"}]
    batch.append({"image": image(1), "personBoxes": [[1, 2, 3]], "logId": "mine"})
    response = post(batch, triton=Triton(behave))
    lines = lines_of(response)
    codes = [line["errorCode"] for line in lines]
    assert codes == [0, 422, 503, 500, 500, 0, 422, 422, 422, 403, 422]
    assert [found(lines[number : number + 1]) for number in (0, 5)] == [[0], [5]]
    assert all("result" not in line and line["errorMsg"] for line in lines if line["errorCode"])
    assert lines[-1]["logId"] == "mine"
    assert "a fault" not in response.text


@pytest.mark.parametrize(
    ("content", "headers", "status", "words"),
    [
        ([], JSON, 422, "the batch has no images"),
        (form(), FORM, 422, "the batch has no images"),
        (form(("name=visualize", b"no")), FORM, 422, "the batch has no images"),
        (b"{}", JSON, 422, "a batch is a JSON array of requests"),
        (b'"text"', JSON, 422, "a batch is a JSON array of requests"),
        (b"[", JSON, 422, "JSON decode error"),
        (b"--x\r\n", FORM, 422, "may be truncated"),
        (JPEG, {"Content-Type": "image/jpeg"}, 415, "send a JSON array of requests"),
        (b"", {"Content-Type": "text/plain"}, 415, "application/json"),
        (requests(9), JSON, 413, "the batch has 9 images; up to 8 (max_batch_images) are"),
        (
            form(*map(file, range(9))),
            FORM,
            413,
            "the batch has 9 images; up to 8 (max_batch_images) are",
        ),
        (form(*map(file, range(30))), FORM, 413, "more than the 24 parts"),
        (b"[" + b" " * 3_000_000 + b"]", JSON, 413, "the 3 MB accepted (max_batch_bytes)"),
        # Each two or three bytes of which became some 70 of memory.
        (b"[" + b"{}," * 300_000 + b"1]", JSON, 422, "more than the 250000 values"),
        (b"[" + b"1," * 300_000 + b"1]", JSON, 422, "more than the 250000 values"),
        (b"[" + b"[[[[]]]]," * 80_000 + b"1]", JSON, 422, "more than the 250000 values"),
        (b'{"a":' * 300_000, JSON, 422, "more than the 250000 values"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(
    content: bytes | list, headers: dict[str, str], status: int, words: str
) -> None:
    triton = Triton()
    limits = {"max_batch_images": 8, "max_batch_bytes": 3_000_000, "max_body_bytes": 100}
    response = post(content, headers, triton=triton, **limits)
    assert response.status_code == response.json()["errorCode"] == status
    assert words in response.json()["errorMsg"]
    assert triton.requests == []


def test_an_image_has_the_limit_of_an_image() -> None:
    batch = [{"image": image(0)}, {"image": "A" * 1001}, {"image": image(2)}]
    lines = lines_of(post(batch, max_body_bytes=1000))
    assert [line["errorCode"] for line in lines] == [0, 413, 0]
    assert lines[1]["errorMsg"].startswith(
        "the image is larger than the 0.001 MB accepted (max_body"
    )


def test_the_memory_of_all_bodies_bounds_batches_too() -> None:
    body = json.dumps(requests(10)).encode()
    assert post(body, max_bodies_bytes=len(body)).status_code == 413
    assert post(body, max_bodies_bytes=2 * len(body)).status_code == 200
    body = form(*map(file, range(10)))
    assert post(body, FORM, max_bodies_bytes=len(body)).status_code == 200
