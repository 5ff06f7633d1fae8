"""The REST service as an ASGI application."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tritonpose.transport import connect_async
from tritonpose_server.service.contract import (
    InferResponse,
    NoResultResponse,
    ReadyResponse,
    ServiceError,
)
from tritonpose_server.service.contract.failures import unavailable
from tritonpose_server.service.rest import openapi
from tritonpose_server.service.rest.api_keys import OPEN_PATHS, KeyGate
from tritonpose_server.service.rest.metrics import CONTENT_TYPE
from tritonpose_server.service.rest.observation import Observation, request_id
from tritonpose_server.service.rest.pages import add_pages
from tritonpose_server.service.rest.responses import error_response, notice_response
from tritonpose_server.service.rest.security_headers import SecurityHeaders
from tritonpose_server.service.rest.service import KeypointService
from tritonpose_server.service.rest.slots import Slots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tritonpose.transport import AsyncTransport
    from tritonpose_server.service.rest.settings import RestSettings

INFER_PATH = "/human-keypoint-detection"


def create_app(
    settings: RestSettings, slots: Slots | None = None, transport: AsyncTransport | None = None
) -> FastAPI:
    """Make the application; it connects to Triton with the first request.

    Args:
        settings: How to serve.
        slots: For the requests under way, by default as many as the settings say; once they are
            closed, requests are refused and the service is not ready.
        transport: Sends requests to Triton, by default to the settings' URL.

    Raises:
        ConfigError: The URL of the Triton server is wrong, or traces are asked for without what
            sends them.
    """
    service = KeypointService(
        settings,
        slots or Slots(settings.in_flight_limit),
        transport or connect_async(settings.triton_url, settings.triton_timeout, retries=0),
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()

    app = FastAPI(
        title="tritonpose",
        version=version("tritonpose"),
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        # Their pages load scripts from other hosts; `add_pages` has ours.
        docs_url=None,
        redoc_url=None,
    )
    _add_inference(app, service)
    _add_monitoring(app, service, settings)
    add_pages(app, settings.page_threshold)
    app.add_exception_handler(HTTPException, _http_error)
    if settings.api_keys:
        app.add_middleware(KeyGate, keys=settings.api_keys)
        description = openapi.with_keys(app.openapi(), OPEN_PATHS)
        app.openapi = lambda: description  # type: ignore[method-assign]
    app.add_middleware(SecurityHeaders)

    def count(path: str, status: int, seconds: float, reason: str | None) -> None:
        if path == INFER_PATH:
            service.metrics.request(status, seconds, reason)

    app.add_middleware(Observation, count=count, trace_id=service.tracing.trace_id)
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
        if await service.is_ready():
            return notice_response("Ready", request_id(request.scope), standIns=settings.stand_ins)
        reason = unavailable(
            "the service is shutting down, or the inference server is out of reach or does not "
            "serve the pipeline"
        )
        return error_response(reason, request_id(request.scope))

    @app.get(
        "/metrics",
        operation_id="getMetrics",
        summary="Numbers for Prometheus",
        response_class=Response,
        responses={
            200: {"description": "Text format.", "content": {CONTENT_TYPE: {}}},
            **openapi.failures(HTTPStatus.UNAUTHORIZED),
        },
        tags=["monitoring"],
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


async def _http_error(request: Request, error: Exception) -> Response:
    """Unknown paths, wrong methods and the like, in the body that all failures have."""
    if not isinstance(error, HTTPException):
        raise error
    failure = ServiceError(HTTPStatus(error.status_code), error.detail)
    return error_response(failure, request_id(request.scope), error.headers)
