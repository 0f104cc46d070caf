"""Numbers of rules per site: bounds, units, law 2, back-test, the site file that carries them."""

from __future__ import annotations

import msgspec
import pytest
import yaml

from community_os.back_test import back_test, points_of
from community_os.pack_desk import PackDesk, with_parameter
from community_os.store import IncidentStore, inline
from device_model.clock import SECOND_US
from device_model.library import read_inventory
from device_model.reading import Quality
from device_model.series import Sample
from device_model.system_clock import SystemClock
from rules_engine.packs import rules_of_site

PATH = "hangzhou/yuhang/cangqian/trial-works"
BEGIN = 1_772_499_600_000_000


class Recorded:
    """Gas that rises to 30 %LEL for ten minutes, once."""

    def __init__(self, peak: float | None = 30.0) -> None:
        self.peak = peak

    def of(self, path: str = PATH) -> tuple[Sample, ...]:
        values = () if self.peak is None else [(s, self.peak if 600 <= s < 1200 else 1.0) for s in range(0, 3600, 10)]
        return tuple(Sample(path, "gw-1", "works", "gas.gas", "combustible_gas", "%[LEL]", BEGIN + s * SECOND_US, v)
                     for s, v in values)

    async def samples(self, path, points, from_us, to_us, limit=5000):
        return self.of(path)


@pytest.fixture
def file(tmp_path, request):
    file = tmp_path / "works.yaml"
    text = (request.config.rootpath / "firmware_sim/scenarios/sites/works.yaml").read_text(encoding="utf-8")
    file.write_text(text, encoding="utf-8")
    return file


def desk(file, peak: float | None = 30.0) -> PackDesk:
    store = IncidentStore("sqlite://")
    store.open()
    return PackDesk(store, inline, SystemClock(), sites={PATH: read_inventory(file)}, series=Recorded(peak))


async def outcome_of(desk: PackDesk, rule: str, name: str, value: str):
    test = await desk.test(PATH, rule, name, value, 24.0, "Li")
    while (await desk.result(test.id, "")).state == "running":
        await next(iter(desk._jobs))
    return await desk.result(test.id, "")


def gas_rule(inventory):
    """A life-safety rule of the site that looks at gas, and a number of it."""
    for rule in rules_of_site(inventory.site).deciding:
        if rule.hazard.value == "gas_high" and rule.parameters and "gas.gas" in points_of(rule, inventory):
            return rule
    raise AssertionError("the gas pack has no such rule")


async def test_packs_are_shown_in_words_with_standards_and_numbers(file) -> None:
    page = await desk(file).page("hangzhou", "")
    assert page.path == PATH and {pack.id for pack in page.packs} == {"fire", "gas", "device", "hot_work", "camera"}
    rule = next(rule for pack in page.packs for rule in pack.rules if rule.id == "hot_work.no_watcher")
    assert rule.source and rule.words.zh and rule.parameters[0].value == "20 s"
    assert (await desk(file).page("elsewhere", "")).packs == ()


@pytest.mark.parametrize(("rule", "name", "value"), [
    ("hot_work.no_permit", "score", "0.99"), ("hot_work.no_permit", "score", "5 ppm"),
    ("hot_work.no_permit", "wait", "3 h"), ("hot_work.no_permit", "nothing", "1"), ("no.rule", "score", "0.5"),
    ("hot_work.no_permit", "score", "")])
async def test_what_the_pack_does_not_allow_is_refused(file, rule: str, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        await desk(file).test(PATH, rule, name, value, 24.0, "Li")


async def test_law_2_a_life_safety_rule_is_not_weakened_beyond_what_was_recorded(file) -> None:
    inventory = read_inventory(file)
    rule = gas_rule(inventory)
    changed = rules_of_site(inventory.site).rules[rule.id]
    same = back_test(rule, changed, inventory, Recorded().of())
    assert same.refusal == "" and len(same.kept) == 1 and not same.gone and not same.new
    blind = back_test(rule, changed, inventory, ())
    assert "law 2" in blind.refusal
    missing = back_test(rule, _later(rule), inventory, Recorded().of())
    assert len(missing.gone) == 1 and "missed 1" in missing.refusal


def _later(rule):
    return msgspec.structs.replace(rule, for_us=3000 * SECOND_US)


async def test_a_change_is_written_only_after_its_test_with_who_and_why(file) -> None:
    packs = desk(file)
    done = await outcome_of(packs, "hot_work.no_watcher", "wait", "40 s")
    assert done.state == "done" and done.before == "20 s"
    assert await packs.switch_on(done.id, "hangzhou/other", "Li", "x") != ""
    assert "why" in await packs.switch_on(done.id, "", "Li", " ")
    assert await packs.switch_on(done.id, "hangzhou", "Li", "narrow stairs") == ""
    assert read_inventory(file).site.rules.parameters["hot_work.no_watcher"] == {"wait": "40 s"}
    page = await packs.page("", PATH)
    rule = next(rule for pack in page.packs for rule in pack.rules if rule.id == "hot_work.no_watcher")
    change = rule.changes[0]
    assert (change.who, change.why, change.before, change.value) == ("Li", "narrow stairs", "20 s", "40 s")
    assert change.version == 2


async def test_bad_readings_break_the_line_and_are_no_numbers(file) -> None:
    inventory = read_inventory(file)
    rule = gas_rule(inventory)
    samples = [*Recorded(1.0).of()]
    samples[5] = Sample(PATH, "gw-1", "works", "gas.gas", "combustible_gas", "%[LEL]", samples[5].time_us, None,
                        Quality.BAD)
    outcome = back_test(rule, rule, inventory, samples)
    assert outcome.samples == len(samples) and not outcome.kept


@pytest.mark.parametrize("text", [
    "site: {path: a/b/c/d}\n# kept\nrules:\n  packs: [fire]\n\n# also kept\npermits:\n  night: ''\n",
    "site: {path: a/b/c/d}\nlines: []\n", "rules: {packs: [fire]}\nsite: {path: a/b/c/d}\n"])
def test_only_the_rules_of_a_site_file_are_touched(text: str) -> None:
    after = with_parameter(text, "fire.x", "level", "3 dB/m")
    was, now = yaml.safe_load(text), yaml.safe_load(after)
    assert now["rules"]["parameters"] == {"fire.x": {"level": "3 dB/m"}}
    assert {k: v for k, v in now.items() if k != "rules"} == {k: v for k, v in was.items() if k != "rules"}
    assert with_parameter(after, "fire.x", "level", "4 dB/m").count("fire.x") == 1


def test_the_changed_file_still_is_a_site_file(file) -> None:
    text = with_parameter(file.read_text(encoding="utf-8"), "hot_work.no_permit", "score", "0.7")
    file.write_text(text, encoding="utf-8")
    assert read_inventory(file).site.rules.parameters["hot_work.no_permit"] == {"score": "0.7"}
