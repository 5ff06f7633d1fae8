"""The pipeline without a server: models run in the caller's process.

``options`` reads the caller's choice of device and engine; ``models`` runs models on an engine of
``tritonpose_server.engines``; ``engine`` is the pipeline around them, in the place of a server that
the client would connect to.
"""
