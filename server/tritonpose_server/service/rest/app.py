"""The REST service as an ASGI application: inference, monitoring and the pages for people."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import fastapi_offline
from fastapi import FastAPI
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from tritonpose.transport import connect_async
from tritonpose_server.service.contract.failures import ServiceError, unavailable
from tritonpose_server.service.contract.schema import InferResponse, NoResultResponse, ReadyResponse
from tritonpose_server.service.rest import openapi
from tritonpose_server.service.rest.api_keys import OPEN_PATHS, KeyGate, key_digest
from tritonpose_server.service.rest.browsers import FETCHING_ANYWHERE, limit_browsers
from tritonpose_server.service.rest.heads import TRACK_PATH
from tritonpose_server.service.rest.limits import Slots
from tritonpose_server.service.rest.observation import Observation
from tritonpose_server.service.rest.responses import (
    notice_response,
    refusal,
    request_id,
)
from tritonpose_server.service.rest.service import KeypointService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tritonpose.transport import AsyncTransport
    from tritonpose_server.service.rest.settings import RestSettings

INFER_PATH = "/human-keypoint-detection"
BATCH_PATH = f"{INFER_PATH}/batch"

_PAGE = Path(__file__).resolve().parents[1] / "page"
_DOCS = Path(__file__).resolve().parent / "docs"
# Swagger UI, as that package carries it.
_SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"

# Of the page's slider.
_PAGE_THRESHOLD = 'value="0.5"'


def create_app(
    settings: RestSettings, slots: Slots | None = None, transport: AsyncTransport | None = None
) -> FastAPI:
    """Make the application; it connects to Triton with the first request.

    There are as many ``slots`` by default as the settings allow; once they are closed, requests are
    refused and the service is not ready. Raises ConfigError if the URL of the Triton server is
    wrong, or traces are asked for without what sends them.
    """
    service = KeypointService(
        settings,
        slots or Slots(settings.in_flight_limit),
        transport or connect_async(settings.triton_url, settings.triton_timeout, retries=0),
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Logs what is wrong with Triton before the first request fails.
        looking = asyncio.create_task(service.problem())
        yield
        looking.cancel()
        await service.close()

    app = FastAPI(
        title="tritonpose",
        version=version("tritonpose"),
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        # A redirect names a host and http://, whatever its client used; see `_also`.
        redirect_slashes=False,
        # Their pages load scripts from other hosts; `_add_pages` has ours.
        docs_url=None,
        redoc_url=None,
    )
    _add_inference(app, service)
    _add_stream(app, service)
    _add_monitoring(app, service, settings)
    _add_pages(app, settings.page_threshold)
    _also(app)
    app.add_exception_handler(HTTPException, _http_error)
    description = openapi.with_requests(app.openapi())
    if settings.api_keys:
        app.add_middleware(KeyGate, digests=[key_digest(key) for key in settings.api_keys])
        description = openapi.with_keys(description, OPEN_PATHS)
    app.openapi = lambda: description  # type: ignore[method-assign]
    limit_browsers(app, settings)
    app.add_middleware(
        Observation,
        metrics=service.metrics,
        tracing=service.tracing,
        counted_path=INFER_PATH,
        batch_path=BATCH_PATH,
    )
    service.tracing.trace_requests(app)
    return app


def _add_inference(app: FastAPI, service: KeypointService) -> None:
    @app.post(
        INFER_PATH,
        operation_id="infer",
        summary="Find people and their keypoints",
        response_model=InferResponse,
        responses={200: openapi.success("The people found."), **openapi.failures()},
        openapi_extra=openapi.infer_extra(),
        tags=["inference"],
    )
    async def infer(request: Request) -> Response:
        return await service.answer(request)

    @app.post(
        BATCH_PATH,
        operation_id="inferBatch",
        summary="Find the people in several images",
        response_class=Response,
        responses={200: openapi.batch_success(), **openapi.failures()},
        openapi_extra=openapi.batch_extra(),
        tags=["inference"],
    )
    async def infer_batch(request: Request) -> Response:
        return await service.answer_batch(request)


def _add_stream(app: FastAPI, service: KeypointService) -> None:
    @app.get(
        TRACK_PATH,
        operation_id="track",
        summary="Follow people over time, by WebSocket",
        description=openapi.STREAM,
        status_code=HTTPStatus.UPGRADE_REQUIRED,
        response_model=NoResultResponse,
        responses={
            426: openapi.success("The request was not one for a WebSocket."),
            **openapi.failures(HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN),
        },
        tags=["inference"],
    )
    async def refuse(request: Request) -> Response:
        failure = ServiceError(
            HTTPStatus.UPGRADE_REQUIRED,
            "this address is for WebSockets: a GET request with `Upgrade: websocket`, "
            "`Connection: Upgrade`, `Sec-WebSocket-Version: 13` and a `Sec-WebSocket-Key`",
        )
        wanted = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        return refusal(request.scope, failure, wanted)

    for path in (TRACK_PATH, f"{TRACK_PATH}/"):
        app.router.add_websocket_route(path, service.follow)


def _add_monitoring(app: FastAPI, service: KeypointService, settings: RestSettings) -> None:
    @app.get(
        "/health",
        operation_id="checkHealth",
        summary="Whether this service runs",
        response_model=NoResultResponse,
        responses={200: openapi.success("It runs.")},
        tags=["monitoring"],
    )
    async def check_health(request: Request) -> Response:
        return notice_response("Healthy", request_id(request.scope))

    @app.get(
        "/health/ready",
        operation_id="checkReadiness",
        summary="Whether images can be processed now",
        response_model=ReadyResponse,
        responses={
            200: openapi.success("They can."),
            **openapi.failures(HTTPStatus.SERVICE_UNAVAILABLE),
        },
        tags=["monitoring"],
    )
    async def check_readiness(request: Request) -> Response:
        problem = await service.problem()
        if problem is not None:
            return refusal(request.scope, unavailable(problem))
        log_id = request_id(request.scope)
        return notice_response("Ready", log_id, standIns=settings.stand_ins or None)

    @app.get(
        "/metrics",
        operation_id="getMetrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={
            200: {"description": "Text format.", "content": {CONTENT_TYPE_LATEST: {}}},
            **openapi.failures(HTTPStatus.UNAUTHORIZED),
        },
        tags=["monitoring"],
    )
    async def metrics() -> Response:
        service.metrics.ready.set(await service.problem() is None)
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_pages(app: FastAPI, threshold: float) -> None:
    """Serve the web page at ``/`` and the interactive description of the interface at ``/docs``.

    The page shows people above the threshold, 0 to 1, at first.
    """
    html = (_PAGE / "index.html").read_text("utf-8")
    html = html.replace(_PAGE_THRESHOLD, f'value="{threshold:.2f}"')

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=FETCHING_ANYWHERE)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(_DOCS / "index.html")

    app.mount("/page", StaticFiles(directory=_PAGE))
    app.mount("/docs/swagger-ui", StaticFiles(directory=_SWAGGER_UI))
    app.mount("/docs", StaticFiles(directory=_DOCS))


def _also(app: FastAPI) -> None:
    """Serve HEAD where there is GET, and addresses also with a slash at their end.

    But for that of the description, whose files' addresses are relative.
    """
    for route in [each for each in app.routes if isinstance(each, APIRoute)]:
        methods = sorted(route.methods or ())
        if "GET" in methods:
            methods.append("HEAD")
        for path in {route.path, route.path.rstrip("/") + "/"} - {"/docs/"}:
            app.add_api_route(path, route.endpoint, methods=methods, include_in_schema=False)


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer unknown paths, wrong methods and the like with the body that all failures have."""
    if not isinstance(error, HTTPException):
        raise error
    failure = ServiceError(HTTPStatus(error.status_code), error.detail)
    return refusal(request.scope, failure, error.headers)
