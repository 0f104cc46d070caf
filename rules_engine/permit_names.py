"""Names by which conditions speak of permits and places (`Vocabulary.names`), and the cells that carry them.

`place.people_limit` is what the site file says of the subject's zone; a zone without it is not watched by the rule.
A fact of a zone is a reading of the point `permit:<zone>.<fact>`; for a rule bound to the whole site the zone is
"*". Without any permit each fact has a value too: no permit is known to be no permit, never unknown.
"""

from __future__ import annotations

from rules_engine.condition_types import Type, type_of_quantity

SITE = "*"  # no zone can be called so
_PREFIX = "permit:"
# fact → value while there is no permit, and what it says.
_FACTS: dict[str, tuple[bool | float, str]] = {
    "here": (False, "a signed permit for this zone exists, whatever its time"),
    "in_time": (False, "one of them is within its time and not finished"),
    "working": (False, "work under a permit goes on in this zone"),
    "elsewhere": (False, "work under a permit goes on in another zone of the site"),
    "watched": (False, "at every such work in this zone the watcher is there"),
    "gas_limit": (5.0, "%LEL: the least limit of the gases named in the working permits; 5 %LEL where none is known"),
    "continuous": (False, "special work goes on: gas must be seen all the time"),
    "outdoors": (False, "work goes on in the open air"),
    "fire_watch": (False, "work has ended, the permit is not closed"),
    "fire_watch_manned": (False, "somebody watches after the work, or the time for it is over"),
    "over_time": (False, "its time ended while work went on"),
}
PERMIT_DEFAULTS: dict[str, bool | float] = {name: entry[0] for name, entry in _FACTS.items()}
PERMIT_QUANTITY: dict[str, str] = {
    name: "permit" if isinstance(default, bool) else "combustible_gas" for name, default in PERMIT_DEFAULTS.items()}
PLACE = "place."
PERMIT_NAMES: dict[str, Type] = {
    **{f"permit.{name}": type_of_quantity(quantity) for name, quantity in PERMIT_QUANTITY.items()},
    f"{PLACE}people_limit": type_of_quantity("people")}


def permit_point(zone: str, fact: str) -> str:
    """The name of the cell; "" is the site."""
    return f"{_PREFIX}{zone or SITE}.{fact}"


def is_permit_point(name: str) -> bool:
    """Whether a point is a fact of permits and no device's."""
    return name.startswith(_PREFIX)


def place_point(zone: str, fact: str) -> str:
    """The name of the cell of something that the site file says of a zone."""
    return f"place:{zone}.{fact}"


def is_place_point(name: str) -> bool:
    """Whether a cell holds what the site file says, which no checkpoint may bring back."""
    return name.startswith("place:")


def permit_label(fact: str) -> str:
    """How people read it in an alarm's detail."""
    return "limit of the permit" if fact == "gas_limit" else f"permit {fact.replace('_', ' ')}"
