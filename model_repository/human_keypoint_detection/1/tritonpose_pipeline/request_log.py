"""What the log says of a request: a line with its id, whatever its sender has put into that."""

from __future__ import annotations

_LONGEST_ID = 128


def line(request_id: str, outcome: str, seconds: float, message: str = "") -> str:
    """Describe how a request went.

    Args:
        request_id: Triton's id of the request, which its sender chose; empty if it chose none.
        outcome: What became of it.
        seconds: From its arrival.
        message: Why.

    Returns:
        One line, without anything that terminals or readers of logs could take for more.
    """
    reason = f": {message}" if message else ""
    text = f"request_id={request_id[:_LONGEST_ID] or '-'} {outcome} after {seconds:.3f} s{reason}"
    return "".join(character if character.isprintable() else "?" for character in text)
