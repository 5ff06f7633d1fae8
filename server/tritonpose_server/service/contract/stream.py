"""Read and check the texts by which the client of a WebSocket says how its images are followed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from tritonpose_server.service.contract.failures import invalid
from tritonpose_server.service.contract.requests import parse_json, problems_of
from tritonpose_server.service.contract.schema import Region, usable_log_id

_WHERE = "message"


class StreamMessage(BaseModel):
    """What a text may say, a JSON object; unknown fields are ignored."""

    key: str | None = Field(None, repr=False)
    logId: Annotated[str | None, BeforeValidator(usable_log_id)] = None  # noqa: N815
    # From now on.
    detThreshold: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)  # noqa: N815
    detInterval: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None  # noqa: N815
    roi: Region = None
    smooth: bool = True
    # Of the next image.
    time: float | None = Field(None, allow_inf_nan=False)
    reset: bool = False

    def changes(self) -> dict[str, Any]:
        """Return what holds from now on, of what was said."""
        said = self.model_fields_set & {"detThreshold", "detInterval", "roi", "smooth"}
        return {name: getattr(self, name) for name in said}


def read_message(text: str) -> StreamMessage:
    """Read a text; ServiceError 422 if it is not JSON, or says something wrong."""
    document = parse_json(text.encode("utf-8", "surrogatepass"))
    if isinstance(document, dict) and "image" in document:
        words = "send images as messages of their own, binary: the bytes of an image file"
        raise invalid([("value_error", f"{_WHERE}.image", words)])
    try:
        return StreamMessage.model_validate(document)
    except ValidationError as error:
        raise invalid(problems_of(error, _WHERE)) from None
