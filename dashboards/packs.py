"""What the page of rule packs reads and does (values only)."""

from __future__ import annotations

from typing import Protocol

import msgspec

from device_model.site import Text


class ParameterView(msgspec.Struct, frozen=True):
    """A number of a rule: in the cloud's copy of the site file, as the pack says, and between what a site may choose.
    running: what the gateway says it judges by, "" where that is not known."""

    name: str
    meaning: Text
    value: str
    default: str
    least: str
    most: str
    running: str = ""


class ParameterChange(msgspec.Struct, frozen=True):
    """Somebody changed it. version: of the site file that carries it."""

    at_us: int
    who: str
    why: str
    name: str
    value: str
    before: str
    version: int


class RuleView(msgspec.Struct, frozen=True):
    """A rule in words. at_once: law 2 holds for it. subjects: how many places of the site it watches."""

    id: str
    title: Text
    hazard: str
    severity: str
    words: Text
    clears: Text
    when: str
    source: str
    certainty: str
    at_once: bool
    latched: bool
    subjects: int
    parameters: tuple[ParameterView, ...]
    changes: tuple[ParameterChange, ...]


class PackView(msgspec.Struct, frozen=True):
    """A pack that a site runs."""

    id: str
    version: int
    title: Text
    rules: tuple[RuleView, ...]


class PackSite(msgspec.Struct, frozen=True):
    """A site whose packs can be looked at."""

    path: str
    name: Text


class TestFound(msgspec.Struct, frozen=True):
    """What the back-test said that a change rests on: values read, alarms that stay, go, come, and how many of the
    recorded experiments were alarmed before and after. file_value: what stood in the site file, "" nothing."""

    samples: int = 0
    kept: int = 0
    gone: int = 0
    new: int = 0
    from_us: int = 0
    to_us: int = 0
    recorded: int = 0
    recorded_before: int = 0
    recorded_after: int = 0
    file_value: str = ""


class NumberChange(msgspec.Struct, frozen=True):
    """A number on its way to the gateway. state: asked, declined, withdrawn, approved, sent, waiting, probation,
    running, refused, rolled_back, by_hand. judged_by: who approved, declined or withdrew it, with why. told: the
    gateway's own words. version: of the numbers that are sent; file_version: of the cloud's copy of the site file."""

    id: str
    rule: str
    title: Text
    name: str
    value: str
    before: str
    who: str
    why: str
    at_us: int
    found: TestFound
    state: str
    approved_by: str
    judged_by: str
    judged_why: str
    judged_us: int
    version: int
    sent_us: int
    told: str
    file_version: int


class GatewayNumbers(msgspec.Struct, frozen=True):
    """What the site's gateway says of its numbers. said_us 0: it has said nothing yet. takes: whether it takes
    numbers from the cloud; known: whether the ones that run are known here. command: how a person sends the file."""

    gateway: str
    heard_us: int
    silent: bool
    said_us: int
    takes: bool
    known: bool
    digest: str
    version: int
    command: str


class PacksPage(msgspec.Struct, frozen=True):
    """All of /packs. path "": none chosen."""

    at_us: int
    sites: tuple[PackSite, ...]
    path: str
    packs: tuple[PackView, ...]
    gateway: GatewayNumbers | None = None
    changes: tuple[NumberChange, ...] = ()


class TestAlarm(msgspec.Struct, frozen=True):
    """One alarm of a back-test. ended_us 0: it stood at the end. later_s: than under the number in force, for one
    that comes under both; negative: earlier."""

    subject: str
    at_us: int
    ended_us: int
    later_s: float = 0.0


class TestLine(msgspec.Struct, frozen=True):
    """What a point did, thinned for a plot: (µs, value), value None breaks the line."""

    point: str
    unit: str
    samples: tuple[tuple[int, float | None], ...]


class RecordedRun(msgspec.Struct, frozen=True):
    """A labelled event of a published recording, under both numbers. start_s: its onset in the run's own time;
    before_s, after_s: how long after it the first alarm came, None for none. lines: times in µs of the run."""

    set: str
    experiment: str
    event: str
    kind: str
    start_s: float
    before_s: float | None
    after_s: float | None
    lines: tuple[TestLine, ...] = ()


class RecordedTest(msgspec.Struct, frozen=True):
    """All of them; runs: those that are shown, what differs first. found_before, found_after: events that were
    alarmed; missed: only under the number in force; later_s: median of those under both, negative: earlier.
    false_before, false_after: alarms outside every event. cut: there are more than were run. fault: what could not be
    read."""

    runs: tuple[RecordedRun, ...] = ()
    experiments: int = 0
    events: int = 0
    found_before: int = 0
    found_after: int = 0
    missed: int = 0
    later_s: float = 0.0
    false_before: int = 0
    false_after: int = 0
    cut: bool = False
    fault: str = ""


class BackTest(msgspec.Struct, frozen=True):
    """A change held against what was recorded. state: running, done, failed. gone, new: alarms that only the rule in
    force, only the changed one raises. recorded: published recordings beside it. refusal: why nobody may ask for it,
    "" somebody may."""

    id: str
    path: str
    rule: str
    name: str
    value: str
    before: str
    who: str
    state: str
    from_us: int
    to_us: int
    samples: int = 0
    kept: tuple[TestAlarm, ...] = ()
    gone: tuple[TestAlarm, ...] = ()
    new: tuple[TestAlarm, ...] = ()
    lines: tuple[TestLine, ...] = ()
    refusal: str = ""
    fault: str = ""
    recorded: RecordedTest = RecordedTest()


class Packs(Protocol):
    """What a program brings."""

    async def page(self, scope: str, path: str) -> PacksPage:
        """The sites of a scope, and the packs of one."""
        ...

    async def test(self, path: str, rule: str, name: str, value: str, hours: float, who: str) -> BackTest:
        """Begin a back-test. Raises ValueError where the value may not be."""
        ...

    async def result(self, test: str, scope: str) -> BackTest | None:
        """How far it is."""
        ...

    async def ask(self, test: str, scope: str, who: str, why: str) -> str:
        """Ask for the tested value to be approved: "" or why not."""
        ...

    async def judge(self, change: str, scope: str, who: str, why: str, *, yes: bool) -> str:
        """A second person approves; anybody with the right declines or withdraws what does not run yet: "" or why
        not."""
        ...
