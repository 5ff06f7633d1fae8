"""Top-down human pose estimation: the pipeline's numerics, free of Triton.

Modules follow the order in which an image passes through them: ``image`` (decode),
``detection`` (resize, threshold, boxes) with ``nms``, ``affine`` (person crops), ``heatmap``
(flip averaging and DARK decode). ``model`` and ``repository`` read what the pipeline must know
of the models it calls, ``options`` what a request may choose, and ``pipeline`` puts the stages
together around any function that can run a model.
"""
