"""Builds TensorRT engines of models: ``scripts/build_engines``.

``build`` decides and puts the files in place; ``worker`` is the program that talks to TensorRT, in
a process of its own, because it sees one GPU only and may be ended by a fault of the driver.
"""
