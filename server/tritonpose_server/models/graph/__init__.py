"""Edits ONNX graphs: input and output, precision, constants."""
