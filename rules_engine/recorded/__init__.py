"""Recorded experiments as the rules see them: points, rows, labelled events; and how well alarms met them."""

from rules_engine.recorded.experiment import Experiment, LabelledEvent, RecordedPoint, Recording
from rules_engine.recorded.quality import Judged, Summary, judge, poisson_interval
from rules_engine.recorded.replay import Episode, episodes_of

__all__ = [
    "Episode", "Experiment", "Judged", "LabelledEvent", "RecordedPoint", "Recording", "Summary", "episodes_of",
    "judge", "poisson_interval",
]
