"""Headers that keep browsers from doing more with our pages than these need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Scripts, styles and requests: this host alone, and none of them inline. Pictures also from the
# user's own files and camera.
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

_HEADERS = {
    _POLICY_HEADER: "; ".join(_POLICY),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Browsers ask whether a file has changed, so that an update is seen at once.
    "Cache-Control": "no-cache",
}

# For the web page, which fetches the picture at an address that its user names.
FETCHING_ANYWHERE = {_POLICY_HEADER: "; ".join((*_POLICY, "connect-src 'self' https: http:"))}


class SecurityHeaders:
    """ASGI middleware: gives each response these headers."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; headers that the application sets itself stay as they are."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
