"""What a camera tells the site: scores on the rules' own scale, health, delay. Pure.

The rules count a score of 0.6 as seen (rules_engine/packs/hot_work.yaml). The decision over time is made here, zone
by zone with its own threshold, so the score sent is at least 0.6 exactly while a class is decided; below, it is the
confidence against the threshold. An unwell camera sends -1, which its profile reads as "error value": never zero, and
never instead of what it has decided.
"""

from __future__ import annotations

import msgspec

from device_drivers.vision.camera_health import CameraState
from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.objects import Box
from device_drivers.vision.places import PlaceState
from device_drivers.vision.pooling import Spot
from device_drivers.vision.scenes import SceneState
from device_drivers.vision.share import ShareCount

SEEN = 0.6
UNWELL = -1.0
BLIND_STATES = (CameraState.SILENT, CameraState.FROZEN, CameraState.BLINDED, CameraState.DARK, CameraState.MOVED)

# What a camera in such a state decides, it has seen: smoke blinds it, a fire makes the view another.
SEES_STILL = (CameraState.BLINDED, CameraState.DARK, CameraState.MOVED)

# Each a reading of its own, so that the fault that is told names what a person can mend.
FLAGS = (CameraState.FROZEN, CameraState.BLINDED, CameraState.DARK, CameraState.MOVED, CameraState.LATE)


class CameraReport(msgspec.Struct, frozen=True):
    """One judged frame of one camera. scores: raw, the strongest of all looks; spots: boxes by class; delay_s: from
    the picture to the verdict."""

    camera: str
    taken_us: int
    judged_us: int
    state: CameraState
    scores: dict[str, float]
    scenes: tuple[SceneState, ...]
    spots: dict[str, tuple[Spot, ...]]
    looks: int
    places: tuple[PlaceState, ...] = ()
    objects: tuple[Box, ...] = ()

    @property
    def delay_s(self) -> float:
        """Seconds from the picture's own time to the verdict."""
        return (self.judged_us - self.taken_us) / 1e6


def sent_score(scene: SceneState, threshold: float) -> float:
    """A class's score on the rules' scale."""
    confidence = scene.decision.confidence
    if scene.decision.decided:
        return round(SEEN + (1 - SEEN) * max(0.0, confidence - threshold) / (1 - threshold), 3)
    return round(min(SEEN - 0.01, SEEN * confidence / threshold), 3)


def payloads(
    camera: str,
    state: CameraState,
    scenes: tuple[SceneState, ...],
    thresholds: dict[tuple[str, str], float],
    counts: ShareCount,
    places: tuple[PlaceState, ...] = (),
) -> dict[str, bytes]:
    """Topic behind `tocsin/vision/` to message: the camera as a whole, and each zone of its own."""
    blind = state in BLIND_STATES
    whole: dict[str, float] = {}
    zones: dict[str, dict[str, float]] = {}
    for scene in scenes:
        hidden = blind and not (scene.decision.decided and state in SEES_STILL)
        score = UNWELL if hidden else sent_score(scene, thresholds[scene.zone, scene.name])
        zones.setdefault(scene.zone, {})[scene.name] = score
        whole[scene.name] = max(whole.get(scene.name, UNWELL), score)
    if blind:
        whole = dict.fromkeys(CLASSES, UNWELL) | whole
    told = {
        camera: {
            **whole,
            "picture": state is not CameraState.SILENT,
            "state": state.value,
            **{flag.value: UNWELL if state is CameraState.SILENT else state is flag for flag in FLAGS},
            "judged": counts.judged,
            "dropped": counts.dropped,
        }
    }
    for zone, scores in zones.items():
        if zone != "whole":
            told[f"{camera}/{zone}"] = {**scores, "picture": state is not CameraState.SILENT, "state": state.value}
    for place in places:
        told |= _place(camera, place, blind=blind)
    return {topic: msgspec.json.encode(said) for topic, said in told.items()}


def _place(camera: str, place: PlaceState, *, blind: bool) -> dict[str, dict[str, str | float | bool]]:
    """A zone's count, guard and lane, each a device of its own: what a zone does not ask is not said."""
    base = camera if place.zone == "whole" else f"{camera}/{place.zone}"
    told: dict[str, dict[str, str | float | bool]] = {
        f"{base}/people": {
            "people": UNWELL if blind else place.people,
            "confidence": UNWELL if blind else place.confidence,
            "why": place.why,
        }
    }
    if place.intrusion is not None:
        told[f"{base}/guard"] = {"intrusion": UNWELL if blind else place.intrusion, "why": place.why}
    if place.obstruction is not None:
        told[f"{base}/lane"] = {"obstruction": UNWELL if blind else place.obstruction, "why": place.why}
    return told
