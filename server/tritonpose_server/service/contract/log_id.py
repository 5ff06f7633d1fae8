"""The name of a request in answers and in the log."""

from __future__ import annotations

import re
import uuid

# What may stand in a header and in a line of a log as it is.
_USABLE = re.compile(r"[!-~]{1,128}")


def usable_log_id(value: object) -> str | None:
    """The value if it can name a request (1 to 128 printable ASCII characters), else None."""
    return value if isinstance(value, str) and _USABLE.fullmatch(value) else None


def choose_log_id(*proposals: object) -> str:
    """The first usable name among those that clients proposed, else a new one."""
    return next(filter(None, map(usable_log_id, proposals)), None) or str(uuid.uuid4())
