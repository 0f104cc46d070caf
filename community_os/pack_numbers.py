"""Changed numbers of rules on their way (pure): asked, approved by a second person, sent, run by the gateway.

    asked ──► approved ──► sent ──► on probation ──► running ──► the cloud's own site file follows
      │          │           └► waiting (an alarm of the rule stands, …) · refused · rolled back: as the gateway says
      └► declined, withdrawn                      by hand: the gateway takes no numbers, a person pushes the site file

What runs is never concluded from what was wanted: the gateway's digest must be that of a set that is known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from community_os.officer_setting import Setting
from dashboards.packs import NumberChange, TestFound
from device_model.numbers import NumbersReport, digest_of
from device_model.site import Text
from provisioning.site_numbers import Numbers, merged

ASKED, JUDGED, SENT, WRITTEN, WITHDRAWN = "number_asked", "number_judged", "number_sent", "parameter", "number_off"
# States in which a change may still come, and keeps later ones of its site waiting.
ON_THE_WAY = frozenset({"approved", "sent", "waiting", "probation"})
OPEN = ON_THE_WAY | {"asked"}
_UNDONE_MAX = 30


class Asked(msgspec.Struct, frozen=True):
    """Body of ASKED; the row's name is the rule. found: of its back-test."""

    name: str
    value: str
    before: str
    found: TestFound


class Judged(msgspec.Struct, frozen=True):
    """Body of JUDGED, which is numbered by site: "N-0001" and so on are versions. ask: the row that it answers."""

    ask: str


class Written(msgspec.Struct, frozen=True):
    """Body of WRITTEN: it stands in the cloud's copy of the site file."""

    name: str
    value: str
    before: str
    version: int
    ask: str = ""
    by_hand: bool = False


class Change(msgspec.Struct, frozen=True):
    """One change with everything that was done about it."""

    id: str
    path: str
    rule: str
    asked: Asked
    row: Setting
    approved: Setting | None
    version: int
    off: Setting | None
    sent_us: int
    written: Written | None

    @property
    def numbers(self) -> Numbers:
        """As it travels."""
        return {self.rule: {self.asked.name: self.asked.value}}

    def state(self, report: NumbersReport | None) -> str:
        """Where it is, by what the gateway says. report: its last, None where it has said nothing."""
        if self.written is not None:
            return "by_hand" if self.written.by_hand else "running"
        ran = report is not None and self.version > 0 and report.version == self.version
        if report is not None and ran:
            return "probation" if report.on_probation else "running"
        if self.off is not None:
            return "withdrawn" if self.off.who == self.row.who or self.version else "declined"
        if self.version == 0:
            return "asked"
        if report is not None and report.final and report.offered == self.version:
            return "rolled_back" if "rolled back" in report.why else "refused"
        if report is not None and report.why and report.offered == self.version:
            return "waiting"
        return "sent" if self.sent_us else "approved"


def changes_of(
    asked: Sequence[Setting], judged: Sequence[Setting], off: Sequence[Setting], sent: Sequence[Setting],
    written: Sequence[Setting],
) -> tuple[Change, ...]:
    """Rows put together, newest first."""
    answers = {msgspec.json.decode(one.body, type=Judged).ask: one for one in judged}
    ended, gone = {one.name: one for one in off}, {one.name: one.at_us for one in reversed(sent)}
    stands = {}
    for one in written:
        body = msgspec.json.decode(one.body, type=Written)
        if body.ask:
            stands[body.ask] = body
    return tuple(Change(
        one.id, one.path, one.name, msgspec.json.decode(one.body, type=Asked), one, answer,
        int(answer.name.rpartition("-")[2]) if answer is not None else 0, ended.get(one.id), gone.get(one.id, 0),
        stands.get(one.id)) for one in asked for answer in (answers.get(one.id),))


def running_numbers(
    file: Mapping[str, Mapping[str, str]], changes: Sequence[Change], report: NumbersReport | None,
) -> Numbers | None:
    """The numbers that the gateway says run, None where its digest is of no set that is known here. file: those of
    the cloud's copy of the site file; changes: of the site, newest first."""
    if report is None or not report.digest:
        return None
    sets: list[Numbers] = [{rule: dict(own) for rule, own in file.items()}]
    sets += [merged(file, one.numbers) for one in changes if one.version and one.written is None]
    back = sets[0]
    for one in [change for change in changes if change.written is not None][:_UNDONE_MAX]:
        back = _without(back, one)
        sets.append(back)
    return next((one for one in sets if digest_of(one) == report.digest), None)


def _without(numbers: Numbers, change: Change) -> Numbers:
    """As they were before that change. A number that stood in no file before is taken out: the pack's own counts."""
    own = dict(numbers.get(change.rule, {}))
    own.pop(change.asked.name, None)
    before = change.asked.found.file_value
    if before:
        own[change.asked.name] = before
    return {**{rule: entry for rule, entry in numbers.items() if rule != change.rule},
            **({change.rule: own} if own else {})}


def next_to_send(changes: Sequence[Change], report: NumbersReport | None) -> Change | None:
    """Of one site's changes: the oldest that is on its way. Later ones wait, so that versions come in order."""
    waiting = [one for one in changes if one.version and one.state(report) in ON_THE_WAY]
    return min(waiting, key=lambda one: one.version, default=None)


def view_of(change: Change, title: Text, report: NumbersReport | None) -> NumberChange:
    """As the page shows it."""
    state = change.state(report)
    told = report.why if report is not None and state in ("waiting", "refused", "rolled_back") else ""
    judge = change.off or change.approved
    return NumberChange(
        change.id, change.rule, title, change.asked.name, change.asked.value, change.asked.before, change.row.who,
        change.row.why, change.row.at_us, change.asked.found, state,
        change.approved.who if change.approved else "", judge.who if judge else "", judge.why if judge else "",
        judge.at_us if judge else 0, change.version, change.sent_us, told,
        change.written.version if change.written else 0)
