"""Errors a request can meet, by what its sender can do about them.

::

    RequestError
    ├── InvalidRequestError   the request itself is wrong: change it
    ├── UnavailableError      the server can't take it now: send it again later
    ├── DeadlineError         it took too long: send it again when less is going on
    └── CancelledError        its sender no longer waits for it
"""

from __future__ import annotations

RETRY_LATER = "retry later"
"""How messages end that tell a sender of a full or late server, and of nothing else."""


class RequestError(Exception):
    """Base of everything a request can fail with for a foreseen reason."""


class InvalidRequestError(RequestError):
    """The request is wrong; the message names what is wrong and how to fix it."""


class UnavailableError(RequestError):
    """The server can't serve the request at the moment; retrying later makes sense."""


class DeadlineError(RequestError):
    """The request could not be answered in time; the remaining stages are not run."""


class CancelledError(RequestError):
    """The client cancelled the request; the remaining stages are not run."""
