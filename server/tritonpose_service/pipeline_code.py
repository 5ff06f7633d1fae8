"""What the service takes from the pipeline's own code, which lies in the model repository.

So an image is decoded for its picture as it was for its poses, and with the same care for
hostile files; and one rule says whether there are traces.
"""

from tritonpose_server.pipeline_code import make_topdown_importable

make_topdown_importable()

from telemetry.otel import TracingNotInstalledError, close_provider, make_provider  # noqa: E402
from telemetry.spans import pop_context  # noqa: E402
from topdown.errors import RETRY_LATER, InvalidRequestError  # noqa: E402
from topdown.image import check_file, decode_image  # noqa: E402
from topdown.limits import Limits  # noqa: E402

__all__ = [
    "RETRY_LATER",
    "InvalidRequestError",
    "Limits",
    "TracingNotInstalledError",
    "check_file",
    "close_provider",
    "decode_image",
    "make_provider",
    "pop_context",
]
