"""Long runs that try to break the service: hostile input, overload, killed processes."""
