"""Several images in one request: each is read when its turn comes, answered when it is ready."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import Response

from tritonpose_server.service.contract.failures import ServiceError, invalid
from tritonpose_server.service.contract.requests import (
    KeypointRequest,
    check_file,
    check_request,
    parse_json,
    read_image,
)
from tritonpose_server.service.contract.schema import usable_log_id
from tritonpose_server.service.rest.bodies import BodyKind, options_of, split_form
from tritonpose_server.service.rest.limits import cancel_on_disconnect
from tritonpose_server.service.rest.responses import NDJSON, REQUEST_ID_HEADER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping, Sequence
    from contextlib import ExitStack

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from tritonpose_server.service.rest.bodies import FormPart
    from tritonpose_server.service.rest.settings import RestSettings

# Of a form, beside the images.
_MAX_FIELDS = 16


class BatchItem(NamedTuple):
    """One image of a batch.

    Attributes:
        read: Reads its request, once its turn has come; or raises ServiceError.
        size: Of what the client has sent of it, in bytes.
    """

    read: Callable[[], KeypointRequest]
    size: int


class Batch(NamedTuple):
    """A batch.

    Attributes:
        items: Its images; the service takes each out when it works on it, to free its memory.
        log_id: The ``logId`` of all of it, None if it has no usable one.
    """

    items: deque[BatchItem]
    log_id: str | None


def read_batch(
    kind: BodyKind,
    body: bytearray,
    content_type: str,
    query: Mapping[str, str],
    settings: RestSettings,
) -> Batch:
    """Find the images in a batch: a JSON array of requests, or a form with a file for each.

    Options of the ``query`` hold for all of them, as do the fields of a form; those of a request in
    the array come first. Raises ServiceError 413 if there are too many, 415 if it is no such body,
    422 if it can't be read or has no image.
    """
    if kind is BodyKind.FILE:
        raise ServiceError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "send a JSON array of requests with the header `Content-Type: application/json`, or a "
            "form with a file for each image with `multipart/form-data`",
        )
    options, most = options_of(query), settings.max_batch_images
    if kind is BodyKind.JSON:
        document = parse_json(body)
        if not isinstance(document, list):
            raise invalid([("list_type", "body", "a batch is a JSON array of requests")])
        log_id = options.pop("logId", None)
        items = [_item_of_array(request, options, settings) for request in document]
    else:
        parts = list(split_form(body, content_type, most + _MAX_FIELDS))
        options |= {
            part.name: part.text() for part in parts if not (part.is_file or part.name == "image")
        }
        log_id = options.pop("logId", None)
        items = list(_items_of_form(parts, options, settings))
    if not items:
        raise invalid([("missing", "body", "the batch has no images")], usable_log_id(log_id))
    if len(items) > most:
        raise ServiceError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the batch has {len(items)} images; up to {most} (max_batch_images) are accepted: "
            "send them in several requests",
            usable_log_id(log_id),
        )
    return Batch(deque(items), usable_log_id(log_id))


async def answers_as_ready(
    jobs: Iterator[Coroutine[Any, Any, bytes]], at_once: int
) -> AsyncGenerator[bytes, None]:
    """Do jobs, `at_once` at the same time, and yield what each returns as it is done.

    As long as nobody takes the results, no further jobs are begun. Closing it cancels them.
    """
    tasks: set[asyncio.Task[bytes]] = set()
    try:
        while True:
            while len(tasks) < at_once and (job := next(jobs, None)) is not None:
                tasks.add(asyncio.create_task(job))
            if not tasks:
                return
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            while done:
                yield done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class BatchResponse(Response):
    """A response of lines that come as they are ready; a client that disconnects ends the work."""

    def __init__(
        self, request: Request, lines: AsyncGenerator[bytes, None], log_id: str, held: ExitStack
    ) -> None:
        """Send ``lines``; what is ``held`` is released at the end."""
        super().__init__(headers={REQUEST_ID_HEADER: log_id}, media_type=NDJSON)
        del self.headers["content-length"]
        self._request = request
        self._lines = lines
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the response; ClientDisconnect if the client has gone."""
        with self._held:
            await cancel_on_disconnect(self._request, self._send(send))

    async def _send(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        async with aclosing(self._lines) as lines:
            async for line in lines:
                # Waits for a client that is slow to read.
                await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body"})


def _items_of_form(
    parts: Sequence[FormPart], options: Mapping[str, str], settings: RestSettings
) -> Iterator[BatchItem]:
    def read(part: FormPart) -> KeypointRequest:
        image = part.content() if part.is_file else read_image(part.text())
        return check_file(image, options, where="body", visualize=settings.visualize)

    for part in parts:
        if part.is_file or part.name == "image":
            yield BatchItem(partial(read, part), part.end - part.start)


def _item_of_array(
    request: object, options: Mapping[str, str], settings: RestSettings
) -> BatchItem:
    image = None
    if isinstance(request, dict):
        image, request = request.get("image"), {**options, **request}
    read = partial(check_request, request, visualize=settings.visualize)
    return BatchItem(read, len(image) if isinstance(image, str) else 0)
