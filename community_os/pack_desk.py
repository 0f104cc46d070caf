"""Rule packs of sites (I/O): shown in words, a number changed only after a back-test, written into the site file.

    value ─► bounds and unit of the pack (RuleSet.with_parameters) ─► back-test in a thread, one at a time
          ─► switched on: site file, next version, with who and why ─► audit ─► `tocsin site push` signs and sends it

The web role has no key that signs site files: a gateway takes a change only when a person signs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from community_os.back_test import Outcome, back_test, points_of
from community_os.officer_figures import within
from community_os.officer_store import OfficerStore, Setting
from community_os.series_read import POINTS_MAX, ROWS_MAX
from community_os.store import IncidentStore, StoreCalls
from community_os.store_changes import row_id
from dashboards.packs import (
    BackTest,
    PackSite,
    PacksPage,
    PackView,
    ParameterChange,
    ParameterView,
    RuleView,
)
from device_model.clock import HOUR_US, Clock
from device_model.errors import ConfigError, LocalFault
from device_model.inventory import Inventory
from device_model.library import read_inventory
from device_model.series import Sample, SeriesRead
from device_model.site import Site
from provisioning.site_versions import SiteVersions
from rules_engine.explain import explain
from rules_engine.packs import rules_of_site
from rules_engine.rule import Rule

HOURS_MAX = 24.0 * 14
TESTS_KEPT = 50
TEST_WITHIN_S = 120.0
_KIND = "parameter"


class _Changed(msgspec.Struct, frozen=True):
    name: str
    value: str
    before: str
    version: int


class PackDesk:
    """Implements `dashboards.packs.Packs`."""

    def __init__(
        self, store: IncidentStore, calls: StoreCalls, clock: Clock, *, sites: dict[str, Inventory],
        series: SeriesRead | None,
    ) -> None:
        """sites: replaced in place when a number changes. series: None where none is kept."""
        self._own, self._calls, self._clock = OfficerStore(store), calls, clock
        self._sites, self._series = sites, series
        self._tests: dict[str, BackTest] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._one = asyncio.Semaphore(1)

    # --- reading ------------------------------------------------------------------------------------------

    async def page(self, scope: str, path: str) -> PacksPage:
        """The sites of a scope; the packs of `path`, or of the only site."""
        mine = [PackSite(one, inventory.site.name) for one, inventory in sorted(self._sites.items())
                if within(one, scope)]
        chosen = path if any(one.path == path for one in mine) else mine[0].path if mine else ""
        packs: tuple[PackView, ...] = ()
        if chosen:
            changes = await self._calls(lambda: self._own.settings(_KIND, chosen))
            packs = await asyncio.to_thread(_packs, self._sites[chosen], changes)
        return PacksPage(self._clock.now().wall_us, tuple(mine), chosen, packs)

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
        active = _rule(inventory.site, rule)
        if name not in active.parameters:
            raise ValueError(f"{rule} has no number {name!r} · 没有此参数")
        changed = _changed(inventory.site, rule, name, value)
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
                found: Outcome = await asyncio.to_thread(back_test, active, changed, inventory, samples)
            done = msgspec.structs.replace(
                test, state="done", samples=found.samples, kept=found.kept, gone=found.gone, new=found.new,
                lines=found.lines, refusal=found.refusal)
        except (LocalFault, TimeoutError, ValueError) as error:
            done = msgspec.structs.replace(test, state="failed", fault=str(error) or "took too long")
        self._tests[test.id] = done

    # --- switching on -------------------------------------------------------------------------------------

    async def switch_on(self, test: str, scope: str, who: str, why: str) -> str:
        """Write the tested value into the site file as a new version: "" or why not."""
        found = await self.result(test, scope)
        if found is None or found.state != "done":
            return "there is no finished back-test of that name · 没有已完成的回测"
        if found.refusal:
            return found.refusal
        if not why.strip():
            return "say why · 须写明原因"
        inventory = self._sites[found.path]
        file = Path(inventory.site.file)
        try:
            version = await asyncio.to_thread(_write, file, found, who, why)
            self._sites[found.path] = await asyncio.to_thread(read_inventory, file)
        except (ConfigError, LocalFault, ValueError) as error:
            return str(error)
        body = msgspec.json.encode(_Changed(found.name, found.value, found.before, version))
        now_us = self._clock.now().wall_us
        await self._calls(lambda: self._own.put(_KIND, found.path, found.rule, body, who=who, why=why, at_us=now_us))
        return ""


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


def _packs(inventory: Inventory, changes: tuple[Setting, ...]) -> tuple[PackView, ...]:
    parameters = inventory.site.rules.parameters
    return tuple(PackView(pack.id, pack.version, pack.title, tuple(
        _view(rule, inventory, parameters.get(rule.id, {}), changes) for rule in pack.rules))
        for pack in rules_of_site(inventory.site).packs)


def _view(rule: Rule, inventory: Inventory, chosen: Mapping[str, str], changes: tuple[Setting, ...]) -> RuleView:
    told = explain(rule, inventory, chosen)
    mine = [(one, msgspec.json.decode(one.body, type=_Changed)) for one in changes if one.name == rule.id]
    return RuleView(
        rule.id, told.title, told.hazard, told.severity, told.in_words, told.clears, told.when, told.source,
        told.certainty, told.at_once, told.latched, told.subjects_total,
        tuple(ParameterView(p.name, p.meaning, p.value, p.default, p.least, p.most) for p in told.parameters),
        tuple(ParameterChange(one.at_us, one.who, one.why, body.name, body.value, body.before, body.version)
              for one, body in mine))


def _write(file: Path, test: BackTest, who: str, why: str) -> int:
    versions = SiteVersions(file)
    text = with_parameter(versions.text(), test.rule, test.name, test.value)
    return versions.save(text, who, f"{test.rule} {test.name}: {test.before} -> {test.value}; {why}").number


def with_parameter(text: str, rule: str, name: str, value: str) -> str:
    """The site file with that number; all but its `rules:` block stays to the letter."""
    whole: dict[str, Any] = yaml.safe_load(text)
    rules = dict(whole.get("rules") or {})
    parameters = {key: dict(entry) for key, entry in (rules.get("parameters") or {}).items()}
    parameters.setdefault(rule, {})[name] = value
    rules["parameters"] = parameters
    block = yaml.safe_dump({"rules": rules}, allow_unicode=True, sort_keys=False)
    lines = text.splitlines(keepends=True)
    start = next((n for n, line in enumerate(lines) if line.startswith("rules:")), None)
    if start is None:
        return text.rstrip("\n") + "\n\n" + block
    after = range(start + 1, len(lines))
    end = next((n for n in after if lines[n][:1] not in (" ", "\t", "\n", "#", "-")), len(lines))
    return "".join(lines[:start]) + block + ("\n" if end < len(lines) else "") + "".join(lines[end:])
