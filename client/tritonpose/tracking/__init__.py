"""People over time: who is who from frame to frame, where they move, and when to look again."""

from tritonpose.tracking.result import TrackedResult
from tritonpose.tracking.settings import TrackingSettings
from tritonpose.tracking.tracker import Tracker

__all__ = ["TrackedResult", "Tracker", "TrackingSettings"]
