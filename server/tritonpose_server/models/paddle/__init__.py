"""Exports models of PaddleX and PaddleDetection to ONNX and verifies them against their source."""
