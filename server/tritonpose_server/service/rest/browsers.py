"""Decide what web pages may do with the service, in browsers that both can reach."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware

from tritonpose_server.ports import is_loopback
from tritonpose_server.service.contract.failures import PAGE, ServiceError
from tritonpose_server.service.rest.responses import REQUEST_ID_HEADER, refusal
from tritonpose_server.service.rest.settings import ANY
from tritonpose_server.service.urls.policy import matches

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tritonpose_server.service.rest.settings import RestSettings

# Scripts, styles and requests: from this host alone, never inline. Pictures also from the user's
# own files and camera.
_POLICY = (
    "default-src 'self'",
    "img-src 'self' blob: data:",
    "media-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
_POLICY_HEADER = "Content-Security-Policy"

BROWSER_HEADERS = {
    _POLICY_HEADER: "; ".join(_POLICY),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Other sites can neither hold our pages' windows nor load our answers as pictures or scripts.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Browsers ask whether a file has changed, so that an update is seen at once.
    "Cache-Control": "no-cache",
}
"""Headers that limit what browsers do with our pages; part of all responses."""

# For the web page, which fetches the picture at an address that its user enters.
FETCHING_ANYWHERE = {_POLICY_HEADER: "; ".join((*_POLICY, "connect-src 'self' https: http:"))}

# How long a browser remembers that a page may send requests.
_PREFLIGHT_SECONDS = 600

_PORT = re.compile(r":[0-9]*$")
_LOCAL_NAME = re.compile(r"[a-z_-][a-z0-9_-]*")


def limit_browsers(app: FastAPI, settings: RestSettings) -> None:
    """Let pages of the allowed origins send requests, and keep those of others out.

    To be called after the middleware that asks for keys is added: browsers ask for permission
    without one.
    """
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=[
                *("Authorization", "Content-Encoding", "Content-Type"),
                *("X-API-Key", REQUEST_ID_HEADER),
            ],
            expose_headers=[REQUEST_ID_HEADER, "Retry-After"],
            max_age=_PREFLIGHT_SECONDS,
        )
    open_to_all = settings.api_keys or not is_loopback(settings.host)
    app.add_middleware(
        PageGate,
        origins=settings.cors_origins,
        hosts=None if open_to_all or ANY in settings.allowed_hosts else settings.allowed_hosts,
    )


class PageGate:
    """ASGI middleware: answers 403 to requests that pages of other sites have made.

    A page may call a service on its user's machine by a name of its own that leads there (DNS
    rebinding), so a service without keys that only this machine reaches requires loopback names.
    And it may send forms to any address, and open WebSockets, without asking first.
    """

    def __init__(
        self, app: ASGIApp, origins: Collection[str], hosts: Collection[str] | None
    ) -> None:
        """Wrap an application.

        Pages of ``origins`` may do both; requests need one of ``hosts`` or a loopback name,
        None: any name.
        """
        self._app = app
        self._origins = frozenset(origins)
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        problem = self._problem(scope) if scope["type"] in ("http", "websocket") else None
        if problem is None:
            await self._app(scope, receive, send)
            return
        error = ServiceError(HTTPStatus.FORBIDDEN, problem, reason=PAGE)
        await refusal(scope, error)(scope, receive, send)

    def _problem(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if self._hosts is not None:
            for name in map(_host_name, headers.getlist("host")):
                if not (_is_this_machine(name) or matches(name, self._hosts)):
                    return (
                        "this service has no API keys and is for its own machine, so it takes "
                        f"requests for `localhost` alone, not for {name[:100]!r}: start it with "
                        "--allowed_hosts or with API keys"
                    )
        if scope["type"] == "websocket":
            what = "open WebSockets"
        elif headers.get("content-type", "").lower().startswith("multipart/"):
            what = "send forms"
        else:
            return None
        origin = headers.get("origin", "")
        if not _is_foreign(headers) or {origin, ANY} & self._origins:
            return None
        return (
            f"pages of other sites may not {what}, got the origin {origin[:100]!r}: "
            "start the service with --cors_origins"
        )


def _host_name(host: str) -> str:
    """Return the name or address in a header ``Host``, in lower case."""
    return _PORT.sub("", host.strip()).strip("[]").removesuffix(".").lower()


def _is_this_machine(name: str) -> bool:
    # Names without a dot are of this machine or its network: nobody can buy one.
    return (
        is_loopback(name) or name.endswith(".localhost") or _LOCAL_NAME.fullmatch(name) is not None
    )


def _is_foreign(headers: Mapping[str, str]) -> bool:
    """Return whether a page of another site sends a request, as far as its browser says so."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")
