"""Rebind: what watches and cells know is carried over when the site file changes under a running engine.

    old Bound ──► cell of the same name and quantity: value, windows, silence go on      ┐
              ──► watch of the same rule and subject: state, timers, latch go on         ├─► new Bound
              ──► watch that is gone, latched or of life safety: its alarm stays open    │   (orphan, law 3)
                                      else: its alarm and its faults are told to be over ┘

Nothing here looks at the time or at a reading: what is not touched by the change moves exactly as it would have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from device_model.alarm import LIFE_SAFETY, AlarmState, AlarmTransition
from rules_engine.binding import Bound
from rules_engine.cell import Cell
from rules_engine.evaluate import Out, Watch, WatchState

_OPEN = (AlarmState.RAISED, AlarmState.HELD)


class Carried(msgspec.Struct, frozen=True):
    """What the new engine must know beside its cells and watches.

    orphans: alarms whose rule or subject is gone, which stay until a person resets them. fresh: indexes of watches
    that the old engine did not have. ended: steps that tell what is over because its subject is gone.
    """

    orphans: dict[str, AlarmTransition]
    fresh: tuple[int, ...]
    refused: tuple[Watch, ...]
    ended: tuple[AlarmTransition, ...]


def carry(old: Bound, new: Bound, at: int) -> Carried:
    """Fill the new cells and watches with what the old ones know. `at`: the engine's time, µs since 1970."""
    for cell in new.cells.values():
        _carry_cell(old.cells.get(cell.name), cell, new, at)
    orphans: dict[str, AlarmTransition] = {}
    out: Out = []
    known = {name_of(watch): watch for watch in (*new.watches, *new.refused)}
    before = {name_of(watch): watch for watch in (*old.watches, *old.refused)}
    for name, watch in sorted(before.items()):
        after = known.get(name)
        if after is not None:
            state = watch.dump()
            if state is not None:
                after.load(state)
        elif watch.state in _OPEN and watch.last is not None and (
                watch.rule.latched or watch.rule.hazard in LIFE_SAFETY):
            watch.end_sides(at, out)
            orphans[watch.last.alarm] = watch.last
        else:
            watch.end_gone(at, out)
    return Carried(
        orphans, tuple(watch.index for watch in new.watches if name_of(watch) not in before),
        tuple(watch for watch in new.refused if name_of(watch) not in before), tuple(out))


def _carry_cell(old: Cell | None, cell: Cell, bound: Bound, at: int) -> None:
    if old is None or old.quantity != cell.quantity:
        cell.fresh_us = at
        return
    stand_in = old.held is not None and not old.boot
    if stand_in and (cell.index in bound.on_value or cell.windows):
        # Gone on with after a restart without its value, at which no rule looked then; now one does. Its driver has
        # just started too and says every value anew.
        cell.fresh_us = max(old.fresh_us, at)
        return
    cell.load(old.dump())
    cell.isolated = old.isolated


def absorb(
    bound: Bound, kept: Mapping[str, WatchState], standing: Collection[str],
) -> tuple[dict[str, AlarmTransition], tuple[int, ...]]:
    """Take over alarms that stood before a restart and were not known until now: (orphans, watches that took one).

    standing: ids that stand already. A watch that has raised an alarm of its own meanwhile goes on with that one: it
    is the same matter, latched the same way. Two alarms of one rule and subject would hide each other: the old one
    could be reset while the new one burns, and the board, which has one place for both, showed it cleared.
    """
    known = {name_of(watch): watch for watch in (*bound.watches, *bound.refused)}
    orphans: dict[str, AlarmTransition] = {}
    touched: list[int] = []
    for name, state in sorted(kept.items()):
        if state.last is None or state.state not in _OPEN or state.last.alarm in standing:
            continue
        watch = known.get(name)
        if watch is not None and watch.state in _OPEN:
            continue
        if watch is None or watch not in bound.watches:
            orphans[state.last.alarm] = state.last
        else:
            watch.load(state)
            touched.append(watch.index)
    return orphans, tuple(touched)


def name_of(watch: Watch) -> str:
    """What names a watch in checkpoints."""
    return f"{watch.key.rule}|{watch.key.subject}"
