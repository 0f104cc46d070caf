"""Values and names as the words of an alarm show them: short enough for a line of the board."""

from __future__ import annotations

# A board line holds a few names; the rest is counted.
_NAMES_SHOWN = 5


def shown_list(names: list[str]) -> str:
    """A few names, and how many more."""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def shown_figure(value: object, unit: str) -> str:
    """A value with its unit; four digits."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.4g} {unit}".strip()
    return str(value)
