"""Measures tracking: ids, calm and speed on clips with exact truth, beside other trackers."""
