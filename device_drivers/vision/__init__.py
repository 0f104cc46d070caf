"""Cameras that see hot work, flame and smoke, judge over time, and keep evidence.

The pure nouns are here; `detector`, `sources`, `evidence_store` and `process` do I/O and are imported by name.
"""

from device_drivers.vision.labels import LabelRow, parse_labels
from device_drivers.vision.measures import ClassMeasure, EvalReport, measure
from device_drivers.vision.model_card import CLASSES, ModelCard, Verdict, check_card, parse_card
from device_drivers.vision.pooling import Spot, calibrated, pooled_logits, spots

__all__ = [
    "CLASSES",
    "ClassMeasure",
    "EvalReport",
    "LabelRow",
    "ModelCard",
    "Spot",
    "Verdict",
    "calibrated",
    "check_card",
    "measure",
    "parse_card",
    "parse_labels",
    "pooled_logits",
    "spots",
]
