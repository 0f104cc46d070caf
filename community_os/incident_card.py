"""What lists show of an incident (pure): the whole view without what only its own page needs.

    IncidentView (5–60 kB) ──► card (about 1.5 kB) ──► every open board, for every change
                 └────────────────────────────────────► /api/incidents/{id}, for whoever looks at it

A board of 5,000 open incidents is 7 MB of cards; with whole views it would be a hundred.
"""

from __future__ import annotations

import msgspec

from device_model.read_models import IncidentView


def card_of(view: IncidentView) -> IncidentView:
    """The same incident without plots, values, timeline and contacts."""
    handling = view.handling
    if handling is not None:
        handling = msgspec.structs.replace(handling, steps=(), intakes=(), feedback=(), reports=(),
                                           calls=handling.calls[-1:], checked=())
    return msgspec.structs.replace(view, plots=(), live=(), log=(), contacts=(), handling=handling)
