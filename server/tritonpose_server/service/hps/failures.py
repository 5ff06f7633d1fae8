"""What a client gets when the pipeline model failed."""

from __future__ import annotations

from tritonpose_pipeline import errors
from tritonpose_server.service.contract import ServiceError
from tritonpose_server.service.contract.failures import internal_error, invalid_image, unavailable

# The server was too busy or too late: the pipeline model's own log reports these.
_REFUSALS = frozenset(
    error.code
    for error in (errors.TooManyRequestsError, errors.ShuttingDownError, errors.DeadlineError)
)
_FAULTS_OF_CLIENT = frozenset(
    error.code for error in (errors.BadRequestError, errors.BadImageError, errors.DamagedImageError)
)
_FAULTS_OF_SERVER = frozenset({errors.INTERNAL, errors.ModelFailedError.code})


class PipelineError(Exception):
    """The pipeline model answered with an error.

    Attributes:
        code: Its code, None where the pipeline model itself did not answer.
        text: What happened.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code, self.text = errors.parse_code(message)

    @property
    def is_refusal(self) -> bool:
        """Whether the server was too busy, or too late."""
        return self.code in _REFUSALS


def failure_of_pipeline(error: PipelineError) -> ServiceError:
    """Choose what the client gets; details of faults of the server are for the log alone."""
    if error.code in _FAULTS_OF_CLIENT:
        return invalid_image("image", error.text)
    if error.code in _FAULTS_OF_SERVER:
        return internal_error()
    return unavailable(f"{error.text}; try again later" if error.is_refusal else error.text)
