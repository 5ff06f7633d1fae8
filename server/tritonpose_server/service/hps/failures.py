"""What to tell a client when the pipeline model failed."""

from __future__ import annotations

from pathlib import Path

from tritonpose_pipeline.errors import RETRY_LATER, InvalidRequestError
from tritonpose_pipeline.image import check_file, decode_image
from tritonpose_pipeline.limits import Limits
from tritonpose_server.service.contract import ServiceError
from tritonpose_server.service.contract.failures import internal_error, invalid_image, unavailable

# How the pipeline begins the message of an error that it did not foresee.
_UNFORESEEN = "internal error"


class PipelineError(Exception):
    """The pipeline model answered with an error, whose message this has."""

    @property
    def is_refusal(self) -> bool:
        """Whether it was too busy, or too late; its own log tells of that."""
        return str(self).endswith(RETRY_LATER)


def failure_of_pipeline(image: bytes, error: PipelineError, config: Path) -> ServiceError:
    """Finds out what a client is to be told.

    Between its models Triton hands on an error's message, but not its code (its issue 7804). So
    whether the image is at fault is found out anew, with the pipeline's own code. That takes as
    long as decoding it: not for refusals, which are for a full server to tell at once.

    Args:
        image: What the pipeline was given.
        error: How it failed.
        config: ``config.pbtxt`` of the pipeline model, which has its limits.
    """
    try:
        check_file(image, _read_limits(config))
        decode_image(image)
    except InvalidRequestError as fault:
        return invalid_image("image", str(fault))
    if str(error).startswith(_UNFORESEEN):
        return internal_error()
    return unavailable(str(error))


def _read_limits(config: Path) -> Limits:
    # Imported only where something failed: they bring all of gRPC.
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    parsed = text_format.Parse(config.read_text("utf-8"), model_config_pb2.ModelConfig())
    return Limits.from_parameters(
        {key: value.string_value for key, value in parsed.parameters.items()}
    )
