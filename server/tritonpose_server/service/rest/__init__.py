"""The REST service: PaddleX's contract over HTTP, in front of a Triton server."""
