"""Python-based Triton backends that run the engines, and what they share."""
