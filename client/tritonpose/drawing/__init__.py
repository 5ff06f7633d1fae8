"""Drawing people on images."""
