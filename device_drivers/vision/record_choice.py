"""Which moments of a site are worth a person's look: what was decided, what the model was unsure of, and plain hours.

    score / threshold   0 ──────────── 0.5 ═══ unsure ═══ 1 ═══ alarm ═══►      each with a pause a camera
    and one plain sample a camera in `sample_s`, so that what the model never doubts is seen as well

Pure: times come in, a reason goes out.
"""

from __future__ import annotations

import msgspec

ALARM, UNSURE, SAMPLE = "alarm", "unsure", "sample"


class RecordRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """frames: pictures a clip; unsure_from: share of the threshold from which a score is doubtful; pause_s: between
    two clips of one reason at one camera; sample_s: between plain samples."""

    frames: int = 8
    unsure_from: float = 0.5
    pause_s: float = 60.0
    sample_s: float = 1800.0


class Chooser:
    """The memory of one camera."""

    def __init__(self, rule: RecordRule) -> None:
        self._rule = rule
        self._last_us: dict[str, int] = {}

    def why(self, scores: dict[str, float], thresholds: dict[str, float], decided: bool, now_us: int) -> str:
        """The reason to keep the moment, "" for none. A moment that is kept starts the pause of its reason."""
        nearest = max((scores[n] / t for n, t in thresholds.items() if n in scores and t > 0), default=0.0)
        if decided or nearest >= 1.0:
            reason = ALARM
        elif nearest >= self._rule.unsure_from:
            reason = UNSURE
        else:
            reason = SAMPLE
        pause_s = self._rule.sample_s if reason == SAMPLE else self._rule.pause_s
        last = self._last_us.get(reason)
        if last is not None and now_us - last < pause_s * 1e6:
            return ""
        self._last_us[reason] = now_us
        return reason
