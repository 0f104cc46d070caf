"""The daily proof alarm: a synthetic alarm through the real path to the desk, at most once per local day.

Its hazard is PROOF, so that nothing takes it for a real one, and no output moves. Its id follows from the site
and the local date alone: made twice (a restart before the checkpoint reached the disk), it is still one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity, alarm_id
from device_model.clock import SECOND_US, Now

RULE = "proof-alarm"
SUBJECT = "site"
# Dates already proved are remembered one by one, not as "later than": a clock that was forged into the future
# and set right again must not silence the proof for years.
DATES_KEPT = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ProofAlarm:
    """When the next proof is due, and what it looks like."""

    def __init__(self, site_path: str, hour: int, zone: tzinfo, done: tuple[str, ...] = ()) -> None:
        self._site_path = site_path
        self._hour = hour
        self._zone = zone
        self._done = done[-DATES_KEPT:]

    @property
    def done(self) -> tuple[str, ...]:
        """Local dates (ISO) already proved, for the checkpoint."""
        return self._done

    def resume(self, done: tuple[str, ...]) -> None:
        """Take the dates from a checkpoint."""
        self._done = done[-DATES_KEPT:]

    def due(self, now: Now) -> AlarmTransition | None:
        """The proof of this local date, once, from `hour` on; None otherwise or while the time is not known.

        A gateway that was off at that hour proves itself as soon as it is on again.
        """
        if now.wall_error_us < 0:
            return None
        local = (_EPOCH + timedelta(microseconds=now.wall_us)).astimezone(self._zone)
        date = local.date().isoformat()
        if local.hour < self._hour or date in self._done:
            return None
        self._done = (*self._done, date)[-DATES_KEPT:]
        planned = local.replace(hour=self._hour, minute=0, second=0, microsecond=0)
        onset_us = round((planned - _EPOCH).total_seconds()) * SECOND_US
        return self._raised(onset_us, now, f"daily proof of {date}")

    def ordered(self, issued_us: int, who: str, now: Now) -> AlarmTransition:
        """A proof that somebody asked for; the same order gives the same id."""
        return self._raised(issued_us, now, f"proof asked for by {who}" if who else "proof asked for")

    def _raised(self, onset_us: int, now: Now, detail: str) -> AlarmTransition:
        key = AlarmKey(RULE, SUBJECT)
        return AlarmTransition(
            alarm_id(self._site_path, key, onset_us), key, AlarmState.RAISED, AlarmState.INACTIVE, Hazard.PROOF,
            Severity.NOTICE, now.wall_us, onset_us, detail=detail)
