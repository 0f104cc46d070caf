"""All that does not protect at one site (pure): what gateways report, what faults mean, what the cloud finds.

Reports may arrive in the wrong order, because live records go before backlog: a beginning that is older than
the last known end of the same lack is history, not news.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from community_os.store_changes import ImpairmentRow
from device_model.alarm import AlarmState, AlarmTransition
from device_model.clock import MINUTE_US
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind, ImpairmentRegister
from device_model.inventory import Inventory
from device_model.read_models import ImpairmentView
from device_model.site import Text

# A site has hundreds of devices; a gateway that reports more lacks than this is itself the lack.
LACKS_MAX = 2000
# What only the gateway can know; the cloud's own findings are ended by the cloud.
GATEWAYS_OWN = frozenset({
    ImpairmentKind.SILENT, ImpairmentKind.ISOLATED, ImpairmentKind.IN_TEST, ImpairmentKind.UNPOWERED,
    ImpairmentKind.NOT_JOURNALED, ImpairmentKind.OUTPUT_UNPROVED, ImpairmentKind.LINE_DOWN,
})
# Ends that are remembered to recognise stragglers; the oldest go first.
ENDS_KEPT = 500


class LackState(msgspec.Struct):
    """The checkpoint.

    ended: "kind|subject" → when. faults: alarm key → subject of the fault it stands for. onsets: of those that the
    gateway's rules found. ended_since: "kind|subject" → the beginning of the lack that ended last. doubted:
    beginnings that were taken for history.
    """

    present: list[Impairment]
    ended: dict[str, int]
    faults: dict[str, str]
    onsets: dict[str, int] = {}
    ended_since: dict[str, int] = {}
    doubted: dict[str, Impairment] = {}


class SiteLacks:
    """The impairment register of one site, as the cloud keeps it."""

    def __init__(self, inventory: Inventory, titles: Mapping[str, Text]) -> None:
        self._inventory, self._titles = inventory, titles
        self._register = ImpairmentRegister()
        self._ended: dict[str, int] = {}
        self._faults: dict[str, str] = {}
        self._onsets: dict[str, int] = {}
        self._ended_since: dict[str, int] = {}
        self._doubted: dict[str, Impairment] = {}

    def enter(self, change: ImpairmentChange) -> ImpairmentChange | None:
        """Enter a reported change; None when it is no news."""
        i = change.impairment
        if change.ended_us:
            return self.end(i.kind, i.subject, change.ended_us)
        if i.since_us <= self._ended.get(_name(i), -1):
            return None
        if len(self._register.present()) >= LACKS_MAX and not self._register.stands(i.kind, i.subject):
            i = Impairment(ImpairmentKind.FAULT, "cloud-register", i.since_us,
                           why=f"more than {LACKS_MAX} lacks are reported: further ones are not listed")
        return self._register.begin(i)

    def end(self, kind: ImpairmentKind, subject: str, at_us: int) -> ImpairmentChange | None:
        """End a lack; remembered also when its beginning has not arrived yet."""
        name = f"{kind.value}|{subject}"
        self._ended[name] = max(at_us, self._ended.pop(name, 0))
        while len(self._ended) > ENDS_KEPT:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            self._ended_since.pop(oldest, None)
            self._doubted.pop(oldest, None)
        return self._register.end(kind, subject, at_us)

    def stands(self, kind: ImpairmentKind, subject: str) -> bool:
        """Whether that lack is present."""
        return self._register.stands(kind, subject)

    def expire(self, now_us: int) -> tuple[ImpairmentChange, ...]:
        """What ends by itself, to be entered as ends."""
        over = [i for i in self._register.present() if 0 < i.expires_us <= now_us]
        return tuple(ImpairmentChange(i, i.expires_us) for i in over)

    def due_us(self) -> int | None:
        """When the next lack expires."""
        return min((i.expires_us for i in self._register.present() if i.expires_us), default=None)

    def fault(self, step: AlarmTransition) -> tuple[ImpairmentChange, ...]:
        """A fault found by a rule is a lack for as long as one alarm of that subject stands."""
        key, subject = f"{step.key.rule}|{step.key.subject}", step.key.subject
        change = None
        if step.state in (AlarmState.RAISED, AlarmState.HELD):
            self._faults[key] = subject
            if step.decided == "edge":
                self._onsets[key] = step.onset_us
            title = self._titles.get(step.key.rule)
            why = f"{title.en if title else step.key.rule}: {step.detail}" if step.detail else (
                title.en if title else step.key.rule)
            change = self.enter(ImpairmentChange(
                Impairment(ImpairmentKind.FAULT, subject, step.onset_us, step.zone, why=why)))
        else:
            change = self._fault_over(key, step.at_us)
        return (change,) if change is not None else ()

    def _fault_over(self, key: str, at_us: int) -> ImpairmentChange | None:
        self._onsets.pop(key, None)
        subject = self._faults.pop(key, None)
        if subject is None or subject in self._faults.values():
            return None
        return self.end(ImpairmentKind.FAULT, subject, at_us)

    def reconcile(self, stands: frozenset[str], at_us: int) -> tuple[ImpairmentChange, ...]:
        """A gateway says what stands with it at its time `at_us`: what it told before and no longer holds is over.

        It is how a lack ends that a life of the gateway told from memory, with a disk that took nothing, before it
        died.
        """
        changes = [self.end(i.kind, i.subject, at_us) for i in self._register.present()
                   if i.kind in GATEWAYS_OWN and _name(i) not in stands
                   # A beginning far in the future was told by a clock that has been corrected since.
                   and (i.since_us < at_us or i.since_us > at_us + MINUTE_US)]
        for name, doubted in tuple(self._doubted.items()):
            if name not in stands:
                del self._doubted[name]
            elif (begun := self._register.begin(doubted)) is not None:
                changes.append(begun)
        changes += [self._fault_over(key, at_us) for key, onset_us in tuple(self._onsets.items())
                    if onset_us < at_us and f"fault|{key}" not in stands]
        return tuple(change for change in changes if change is not None)

    def row(self, change: ImpairmentChange) -> ImpairmentRow:
        """A change as a row of the board."""
        i = change.impairment
        site = self._inventory.site
        view = None
        if not change.ended_us:
            device = self._inventory.devices.get(i.subject.partition(".")[0])
            zone = site.zone(i.zone or (device.zone if device else ""))
            view = ImpairmentView(
                site.tenancy, site.name, zone.name if zone else Text("", ""),
                device.place if device else Text(i.subject, i.subject), i)
        return ImpairmentRow(site.tenancy.path, i.kind, i.subject, view)

    def state(self) -> LackState:
        """For the checkpoint."""
        return LackState(list(self._register.present()), self._ended, self._faults, self._onsets,
                         self._ended_since, self._doubted)

    def resume(self, state: LackState) -> None:
        """From a checkpoint."""
        self._register = ImpairmentRegister(tuple(state.present))
        self._ended, self._faults, self._onsets = state.ended, state.faults, state.onsets
        self._ended_since, self._doubted = state.ended_since, state.doubted


def _name(impairment: Impairment) -> str:
    return f"{impairment.kind.value}|{impairment.subject}"
