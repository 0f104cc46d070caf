"""Rule packs of sites (I/O): shown in words; a number is changed only after a back-test and by two people.

    value ─► bounds and unit of the pack (RuleSet.with_parameters) ─► back-test in a thread, one at a time
          ─► asked for, with a reason ─► approved by a second person ─► pack_courier.py ─► the gateway
    gateway's digest of the numbers that run ─► which set is that? ─► wanted, sent and running shown apart
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from community_os.back_test import Outcome, back_test, points_of
from community_os.officer_figures import within
from community_os.officer_setting import Setting
from community_os.pack_courier import NumbersBook
from community_os.pack_numbers import (
    ASKED,
    JUDGED,
    OPEN,
    WITHDRAWN,
    WRITTEN,
    Asked,
    Change,
    Judged,
    Written,
    running_numbers,
    view_of,
)
from community_os.pack_recordings import Recordings
from community_os.series_read import POINTS_MAX, ROWS_MAX
from community_os.store import IncidentStore, StoreCalls
from community_os.store_changes import row_id
from dashboards.packs import (
    BackTest,
    GatewayNumbers,
    NumberChange,
    PackSite,
    PacksPage,
    PackView,
    ParameterChange,
    ParameterView,
    RuleView,
    TestFound,
)
from device_model.clock import HOUR_US, Clock
from device_model.errors import ConfigError, LocalFault, RowRefused
from device_model.inventory import Inventory
from device_model.library import read_inventory
from device_model.read_models import GatewayView
from device_model.series import Sample, SeriesRead
from device_model.site import Site, Text
from provisioning.site_numbers import Numbers
from rules_engine.explain import Explanation, explain
from rules_engine.packs import rules_of_site
from rules_engine.rule import Rule, RulePack

HOURS_MAX = 24.0 * 14
TESTS_KEPT = 50
TEST_WITHIN_S = 120.0
CHANGES_SHOWN = 60
TOLD_KEPT = 50  # sites, some 100 kB each
ToldPack = tuple[RulePack, tuple[Explanation, ...]]


class PackDesk:
    """Implements `dashboards.packs.Packs`."""

    def __init__(
        self, store: IncidentStore, calls: StoreCalls, clock: Clock, *, sites: dict[str, Inventory],
        series: SeriesRead | None, recordings: Recordings | None = None,
    ) -> None:
        """sites: replaced in place when a number changes. series: None where none is kept. recordings: None for the
        shipped ones."""
        self._recordings = recordings or Recordings()
        self._book, self._calls, self._clock = NumbersBook(store), calls, clock
        self._sites, self._series = sites, series
        self._tests: dict[str, BackTest] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._one = asyncio.Semaphore(1)
        self._told, self._stamps = _Told(), dict[str, tuple[int, int]]()

    # --- reading ------------------------------------------------------------------------------------------

    async def page(self, scope: str, path: str) -> PacksPage:
        """The sites of a scope; the packs of `path`, or of the only site."""
        mine = [PackSite(one, inventory.site.name) for one, inventory in sorted(self._sites.items())
                if within(one, scope)]
        chosen = path if any(one.path == path for one in mine) else mine[0].path if mine else ""
        now_us = self._clock.now().wall_us
        if not chosen:
            return PacksPage(now_us, tuple(mine), "", ())
        await asyncio.to_thread(self._read_again, chosen)
        inventory = self._sites[chosen]
        changes, gateway = await self._numbers(chosen)
        written = await self._calls(lambda: self._book.own.settings(WRITTEN, chosen))
        told = await asyncio.to_thread(self._told.of, inventory)
        report = gateway.numbers if gateway is not None else None
        running = running_numbers(inventory.site.rules.parameters, changes, report)
        packs = tuple(PackView(pack.id, pack.version, pack.title, tuple(
            _view(one, inventory, running, written) for one in rules)) for pack, rules in told)
        titles = {one.rule: one.title for _, rules in told for one in rules}
        views = tuple(_settled(view_of(one, titles.get(one.rule, Text(one.rule, one.rule)), report), running)
                      for one in changes[:CHANGES_SHOWN])
        return PacksPage(now_us, tuple(mine), chosen, packs, _gateway(inventory, gateway, running is not None), views)

    def _read_again(self, path: str) -> None:
        """The site file as it is now: another process, or a person, may have changed it."""
        file = self._sites[path].site.file
        try:
            stamp = Path(file).stat()
            if self._stamps.get(path) == (stamp.st_mtime_ns, stamp.st_size):
                return
            if path in self._stamps:
                self._sites[path] = read_inventory(Path(file))
            self._stamps[path] = (stamp.st_mtime_ns, stamp.st_size)
        except (OSError, ConfigError, LocalFault):
            return  # what was read before still stands; the worker says what is wrong with the file

    async def result(self, test: str, scope: str) -> BackTest | None:
        """None for one that is not there, or of another tenant."""
        found = self._tests.get(test)
        return found if found is not None and within(found.path, scope) else None

    # --- testing ------------------------------------------------------------------------------------------

    async def test(self, path: str, rule: str, name: str, value: str, hours: float, who: str) -> BackTest:
        """Begin. Raises ValueError with the reason: no such rule, out of bounds, another unit."""
        inventory = self._sites.get(path)
        if inventory is None or not 0 < hours <= HOURS_MAX:
            raise ValueError("no such site, or more than 14 days · 没有此单位，或超过 14 天")
        if sum(test.state == "running" for test in self._tests.values()) >= 4:
            raise ValueError("four back-tests run already: wait for one · 已有四个回测在运行，请稍候")
        # Reading all packs takes some tenths of a second: not in the event loop.
        active, changed = await asyncio.to_thread(_both, inventory.site, rule, name, value)
        before = inventory.site.rules.parameters.get(rule, {}).get(name, active.parameters[name].default)
        now_us = self._clock.now().wall_us
        test = BackTest(row_id("backtest", path, rule, name, value, str(now_us)), path, rule, name, value, before,
                        who, "running", now_us - round(hours * HOUR_US), now_us)
        while len(self._tests) >= TESTS_KEPT:
            del self._tests[next(iter(self._tests))]
        self._tests[test.id] = test
        job = asyncio.create_task(self._run(test, active, changed, inventory), name="back-test")
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return test

    async def _run(self, test: BackTest, active: Rule, changed: Rule, inventory: Inventory) -> None:
        try:
            async with self._one, asyncio.timeout(TEST_WITHIN_S):
                samples: tuple[Sample, ...] = ()
                points = points_of(active, inventory)[:POINTS_MAX]
                if self._series is not None and points:
                    samples = await self._series.samples(test.path, points, test.from_us, test.to_us, ROWS_MAX)
                recorded = await asyncio.to_thread(self._recordings.run, active, changed)
                found: Outcome = await asyncio.to_thread(back_test, active, changed, inventory, samples, recorded)
            done = msgspec.structs.replace(
                test, state="done", samples=found.samples, kept=found.kept, gone=found.gone, new=found.new,
                lines=found.lines, refusal=found.refusal, recorded=recorded)
        except (LocalFault, TimeoutError, ValueError) as error:
            done = msgspec.structs.replace(test, state="failed", fault=str(error) or "took too long")
        self._tests[test.id] = done

    # --- asking and approving -----------------------------------------------------------------------------

    async def ask(self, test: str, scope: str, who: str, why: str) -> str:
        """Ask for the tested value to be approved: "" or why not."""
        found = await self.result(test, scope)
        if found is None or found.state != "done":
            return "there is no finished back-test of that name · 没有已完成的回测"
        if found.refusal:
            return found.refusal
        if not why.strip():
            return "say why · 须写明原因"
        changes, gateway = await self._numbers(found.path)
        report = gateway.numbers if gateway is not None else None
        if any((one.rule, one.asked.name) == (found.rule, found.name) and one.state(report) in OPEN
               for one in changes):
            return "this number is on its way already: approve or withdraw that change first · 该参数已有待处理的更改"
        standing = self._sites[found.path].site.rules.parameters.get(found.rule, {}).get(found.name, "")
        body = msgspec.json.encode(Asked(found.name, found.value, found.before, TestFound(
            found.samples, len(found.kept), len(found.gone), len(found.new), found.from_us, found.to_us,
            found.recorded.events, found.recorded.found_before, found.recorded.found_after, standing)))
        now_us = self._clock.now().wall_us
        await self._calls(lambda: self._book.own.put(
            ASKED, found.path, found.rule, body, who=who, why=why.strip(), at_us=now_us))
        return ""

    async def judge(self, change: str, scope: str, who: str, why: str, *, yes: bool) -> str:
        """Approve as a second person, decline, or withdraw what does not run yet: "" or why not."""
        found = next((one for one in await self._calls(lambda: self._book.changes(scope)) if one.id == change), None)
        if found is None or found.path not in self._sites:
            return "there is no such change · 没有此项更改"
        _, gateway = await self._numbers(found.path)
        state = found.state(gateway.numbers if gateway is not None else None)
        if state not in OPEN or (yes and state != "asked"):
            return f"it is no longer waiting for that: {state} · 该更改已处理：{state}"
        if not yes and state == "probation":
            return "it runs on probation: ask for the old number instead · 已在网关试运行，请申请改回原值"
        if not why.strip():
            return "say why · 须写明原因"
        if yes and who == found.row.who:
            return "a second person approves; you have asked for it · 须由另一人批准，申请人不得自批"
        now_us = self._clock.now().wall_us
        if not yes:
            return await self._put_once(WITHDRAWN, found, who, why, now_us)
        try:
            await asyncio.to_thread(_changed, self._sites[found.path].site, found.rule, found.asked.name,
                                    found.asked.value)
        except ValueError as error:
            return str(error)
        body = msgspec.json.encode(Judged(found.id))
        await self._calls(lambda: self._book.own.put_numbered(
            JUDGED, found.path, "N", lambda _: body, within=found.path, who=who, why=why.strip(), at_us=now_us))
        return ""

    async def _put_once(self, kind: str, change: Change, who: str, why: str, at_us: int) -> str:
        try:
            await self._calls(lambda: self._book.own.put(
                kind, change.path, change.id, b"{}", who=who, why=why.strip(), at_us=at_us, once=change.id))
        except RowRefused:
            return "somebody else has done that already · 已由他人处理"
        return ""

    async def _numbers(self, path: str) -> tuple[tuple[Change, ...], GatewayView | None]:
        """Changes of a site, and what its gateway says."""
        def read() -> tuple[tuple[Change, ...], GatewayView | None]:
            gateway = (path, self._sites[path].site.gateway.id)
            return self._book.changes(path), self._book.gateways(path).get(gateway)

        return await self._calls(read)


def _both(site: Site, rule: str, name: str, value: str) -> tuple[Rule, Rule]:
    active = _rule(site, rule)
    if name not in active.parameters:
        raise ValueError(f"{rule} has no number {name!r} · 没有此参数")
    if not (active.parameters[name].least and active.parameters[name].most):
        raise ValueError("it has no bounds in its pack: only the site file itself changes it · "
                         "该参数在规则包中没有上下限，只能修改站点文件")
    return active, _changed(site, rule, name, value)


def _rule(site: Site, rule: str) -> Rule:
    known = {one.id: one for one in rules_of_site(site).deciding}
    if rule not in known:
        raise ValueError(f"there is no rule {rule!r} at this site · 没有此规则")
    return known[rule]


def _changed(site: Site, rule: str, name: str, value: str) -> Rule:
    """The rule with the other number. Raises ValueError: the pack's bounds and units are held."""
    parameters = {**site.rules.parameters, rule: {**site.rules.parameters.get(rule, {}), name: value}}
    rules = msgspec.structs.replace(site.rules, parameters=parameters)
    try:
        return _rule(msgspec.structs.replace(site, rules=rules), rule)
    except ConfigError as error:
        raise ValueError("; ".join(f"{one.what}: {one.remedy}" for one in error.findings)) from error


class _Told:
    """Packs of sites in words. Binding and wording cost some tenths of a second: kept while the site file is the same
    and so are the rule files that it names."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Inventory, tuple[int, ...], tuple[ToldPack, ...]]] = {}

    def of(self, inventory: Inventory) -> tuple[ToldPack, ...]:
        """Each pack with its rules. Raises ConfigError."""
        path = inventory.site.tenancy.path
        stamps = tuple(_stamp(Path(file)) for file in inventory.site.rules.files)
        kept = self._kept.get(path)
        if kept is None or kept[0] is not inventory or kept[1] != stamps:
            parameters = inventory.site.rules.parameters
            kept = (inventory, stamps, tuple(
                (pack, tuple(explain(rule, inventory, parameters.get(rule.id, {})) for rule in pack.rules))
                for pack in rules_of_site(inventory.site).packs))
            self._kept[path] = kept
            while len(self._kept) > TOLD_KEPT:
                del self._kept[next(iter(self._kept))]
        return kept[2]


def _stamp(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _view(told: Explanation, inventory: Inventory, running: Numbers | None, written: tuple[Setting, ...]) -> RuleView:
    mine = [(one, msgspec.json.decode(one.body, type=Written)) for one in written if one.name == told.rule]
    return RuleView(
        told.rule, told.title, told.hazard, told.severity, told.in_words, told.clears, told.when, told.source,
        told.certainty, told.at_once, told.latched, told.subjects_total,
        tuple(ParameterView(
            p.name, p.meaning, p.value, p.default, p.least, p.most,
            "" if running is None else running.get(told.rule, {}).get(p.name, p.default)) for p in told.parameters),
        tuple(ParameterChange(one.at_us, one.who, one.why, body.name, body.value, body.before, body.version)
              for one, body in mine))


def _settled(view: NumberChange, running: Numbers | None) -> NumberChange:
    """One that ran, or was handed to a person, by what runs now: never said to run because it once did."""
    if view.state not in ("running", "by_hand"):
        return view
    now = None if running is None else running.get(view.rule, {}).get(view.name)
    if view.state == "by_hand":
        state = "running" if now == view.value else "by_hand"
    else:
        state = "unknown" if running is None else "running" if now == view.value else "replaced"
    return msgspec.structs.replace(view, state=state)


def _gateway(inventory: Inventory, gateway: GatewayView | None, known: bool) -> GatewayNumbers:
    report = gateway.numbers if gateway is not None else None
    command = f"tocsin site push {Path(inventory.site.file).name} --version N --key site-key.pem --config cloud.yaml"
    return GatewayNumbers(
        inventory.site.gateway.id, gateway.heard_us if gateway else 0, gateway.silent if gateway else True,
        gateway.numbers_us if gateway else 0, report.takes if report else False, known,
        report.digest if report else "", report.version if report else 0, command)
