"""Those that are measured, each behind the same few methods (see ``base``)."""
