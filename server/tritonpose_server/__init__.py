"""Runs Triton beside the user's program: no Docker, no GPU, no separate installation.

``triton_wheel`` and ``libpython`` find the parts of a real tritonserver, ``staging`` puts its
backends and the model repository together, ``guardian`` is the small process that owns the
server and cleans up after it, and ``embedded`` starts and stops all of it. ``leaves`` is shared
by the Python-based backends under ``server/backends``.
"""
