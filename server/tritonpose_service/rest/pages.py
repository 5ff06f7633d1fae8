"""The pages for people: the web page and the interactive description of the interface."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import fastapi_offline
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from tritonpose_service.rest.security_headers import FETCHING_ANYWHERE

if TYPE_CHECKING:
    from fastapi import FastAPI

_SERVICE = Path(__file__).resolve().parents[1]
_PAGE = _SERVICE / "page"
_DOCS = _SERVICE / "rest" / "docs"
# Swagger UI, as that package carries it.
_SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"


def add_pages(app: FastAPI) -> None:
    """Serves the web page at ``/`` and the description at ``/docs``."""

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html", headers=FETCHING_ANYWHERE)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(_DOCS / "index.html")

    app.mount("/page", StaticFiles(directory=_PAGE))
    app.mount("/docs/swagger-ui", StaticFiles(directory=_SWAGGER_UI))
    app.mount("/docs", StaticFiles(directory=_DOCS))
