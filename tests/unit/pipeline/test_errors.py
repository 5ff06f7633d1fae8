"""How errors travel: a code for programs in front of the text for people."""

from __future__ import annotations

import pytest

from tritonpose_pipeline import errors


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.TooManyRequestsError("3 in flight"), "[busy] 3 in flight"),
        (errors.ShuttingDownError("soon"), "[shutting_down] soon"),
        (errors.DeadlineError("late"), "[deadline] late"),
        (errors.MemoryDeadlineError("late"), "[deadline] late"),
        (errors.ModelUnavailableError("'a'"), "[model_unavailable] 'a'"),
        (errors.ModelFailedError("'a'"), "[model_failed] 'a'"),
        (errors.BadRequestError("no"), "[invalid_request] no"),
        (errors.BadImageError("no"), "[invalid_image] no"),
        (errors.DamagedImageError("no"), "[damaged_image] no"),
        (errors.CancelledError("gone"), "[cancelled] gone"),
        (ValueError("surprise"), "[internal] surprise"),
    ],
)
def test_a_code_goes_there_and_back(error: Exception, message: str) -> None:
    assert errors.format_error(error) == message
    code, text = errors.parse_code(message)
    assert (f"[{code}]", text) == (message.split()[0], str(error))


@pytest.mark.parametrize(
    ("message", "parsed"),
    [
        ("model 'pose' is not ready", (None, "model 'pose' is not ready")),
        ("expected shape [a] here", (None, "expected shape [a] here")),
        ("[17] is not a code", (None, "[17] is not a code")),
        ("[busy]", (None, "[busy]")),
        ("", (None, "")),
        ("Failed to process the request(s) for model 'x', message: [busy] full", ("busy", "full")),
    ],
)
def test_messages_of_others(message: str, parsed: tuple[str | None, str]) -> None:
    assert errors.parse_code(message) == parsed
