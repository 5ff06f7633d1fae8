"""Top-down human pose estimation: the pipeline's numerics and limits, free of Triton.

A request passes through ``request`` (what it asks for), ``image`` and ``file_formats`` (checks and
decoding), ``detection`` (around the detector), ``crops`` and ``heatmaps`` (around the keypoint
model);
``pipeline`` puts these stages together around any function that runs a model. ``repository`` reads
what the pipeline must know of the models it calls, ``settings`` and ``limits`` what it is
configured to do, and ``triton`` answers requests and calls models through Triton's Python API,
which is passed in.
"""
