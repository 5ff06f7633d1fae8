"""Measures tracking: ids, jitter and speed on clips with exact truth, beside other trackers."""
