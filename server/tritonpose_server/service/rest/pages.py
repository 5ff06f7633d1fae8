"""The pages for people: the web page and the interactive description of the interface."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import fastapi_offline
from starlette.responses import FileResponse, HTMLResponse
from starlette.staticfiles import StaticFiles

from tritonpose_server.service.rest.security_headers import FETCHING_ANYWHERE

if TYPE_CHECKING:
    from fastapi import FastAPI

_SERVICE = Path(__file__).resolve().parents[1]
_PAGE = _SERVICE / "page"
_DOCS = _SERVICE / "rest" / "docs"
# Swagger UI, as that package carries it.
_SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"


# Of the page's slider.
_THRESHOLD = 'value="0.5"'


def add_pages(app: FastAPI, threshold: float) -> None:
    """Serves the web page at ``/`` and the description at ``/docs``.

    Args:
        app: The service.
        threshold: Detection score above which the page shows persons at first, 0 to 1.
    """
    html = (_PAGE / "index.html").read_text("utf-8")
    html = html.replace(_THRESHOLD, f'value="{threshold:.2f}"')

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=FETCHING_ANYWHERE)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(_DOCS / "index.html")

    app.mount("/page", StaticFiles(directory=_PAGE))
    app.mount("/docs/swagger-ui", StaticFiles(directory=_SWAGGER_UI))
    app.mount("/docs", StaticFiles(directory=_DOCS))
