"""Downloads models and verifies what was downloaded."""
