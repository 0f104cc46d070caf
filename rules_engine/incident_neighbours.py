"""What neighbours say: a sensor beside the alarm that rises without being in alarm itself is a second witness. Pure.

    plots of the incident's zones ──► another device ──► rise over what it showed before the alarm ──► second_detector

It only raises the verification (law 1): a neighbour that shows nothing proves nothing. The rises are what no ordinary
minute shows; they are judgement, not from a standard (certainty C), and only bring an incident into the queue sooner.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from device_model.clock import MINUTE_US
from device_model.read_models import Plot
from rules_engine.incident_record import Incident

# Quantity → (unit, rise).
RISE: dict[str, tuple[str, float]] = {
    "temperature": ("Cel", 5.0), "obscuration": ("dB/m", 0.1), "co": ("[ppm]", 15.0),
    "combustible_gas": ("%[LEL]", 3.0),
}
# A neighbour counts when it rises from so long before the alarm to so long after it.
BEFORE_US, AFTER_US = 5 * MINUTE_US, 15 * MINUTE_US
BASELINE_MIN = 3  # values that it showed before


def neighbour_says(incident: Incident, plots: Iterable[Plot]) -> str:
    """In words what a neighbour shows; "" for nothing."""
    alarmed = {entry.device for entry in incident.alarms.values()}
    for plot in plots:
        known = RISE.get(plot.quantity)
        if known is None or plot.unit != known[0] or plot.point.partition(".")[0] in alarmed:
            continue
        from_us, to_us = incident.opened_us - BEFORE_US, incident.raised_us + AFTER_US
        before = [s.value for s in plot.samples if s.value is not None and s.at_us < from_us]
        during = [s.value for s in plot.samples if s.value is not None and from_us <= s.at_us <= to_us]
        if len(before) >= BASELINE_MIN and during and max(during) - median(before) >= known[1]:
            return f"{plot.point} {median(before):g} to {max(during):g} {plot.unit}"
    return ""
