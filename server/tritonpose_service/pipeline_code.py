"""What the service takes from the pipeline's own code, which lies in the model repository.

So an image is decoded for its picture as it was for its poses, and with the same care for
hostile files.
"""

from tritonpose_server.pipeline_code import make_topdown_importable

make_topdown_importable()

from topdown.errors import InvalidRequestError  # noqa: E402
from topdown.image import check_file, decode_image  # noqa: E402
from topdown.limits import Limits  # noqa: E402

__all__ = ["InvalidRequestError", "Limits", "check_file", "decode_image"]
