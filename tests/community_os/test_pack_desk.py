"""Numbers of rules per site: bounds, units, law 2, back-test, the site file that carries them."""

from __future__ import annotations

import msgspec
import pytest
import yaml

from community_os.back_test import back_test, points_of
from community_os.pack_courier import NumbersCourier
from community_os.pack_desk import PackDesk
from community_os.pack_recordings import Recordings
from community_os.store import IncidentStore, inline
from community_os.store_changes import GatewayRow, SiteCommit
from device_model.clock import SECOND_US
from device_model.library import read_inventory
from device_model.messages import GatewayAddress
from device_model.numbers import NumbersReport, digest_of
from device_model.read_models import GatewayView
from device_model.reading import Quality
from device_model.series import Sample
from device_model.site import Text
from device_model.system_clock import SystemClock
from provisioning.authority import Authority
from provisioning.site_numbers import open_numbers, with_numbers
from rules_engine.packs import rules_of_site, shipped_packs

OLD = {"hot_work.no_watcher": {"wait": "20 s"}}
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


class Way:
    """From the desk to a gateway that the test plays, and back."""

    def __init__(self, file, authority, tmp_path):
        self.file = file
        self.store = IncidentStore(f"sqlite:///{tmp_path}/incidents.sqlite")
        self.store.open()
        self.sites, self.sent = {PATH: read_inventory(file)}, []
        self.packs = PackDesk(self.store, inline, SystemClock(), sites=self.sites, series=Recorded())
        self.courier = NumbersCourier(self.store, inline, SystemClock(), sites=self.sites, sign=authority.sign_word,
                                      publish=self.publish)
        self.address, self.ca = GatewayAddress(self.sites[PATH].site.tenancy, "gw-1"), authority.ca_pem
        self.numbers = dict(self.sites[PATH].site.rules.parameters)

    async def publish(self, topic, payload):
        assert topic == self.address.down("numbers")
        self.sent.append(open_numbers(payload, self.address, self.ca))

    def say(self, **report):
        """The gateway's heartbeat, with the numbers that it runs."""
        report = NumbersReport(digest_of(self.numbers), **report)
        view = GatewayView(self.address.tenancy, "gw-1", Text("W", "W"), 5, False, numbers=report, numbers_us=5)
        self.store.apply([SiteCommit(PATH, 0, (GatewayRow(view),), tick=True)])

    async def asked(self, value="40 s", who="Li", name="wait", rule="hot_work.no_watcher"):
        done = await outcome_of(self.packs, rule, name, value)
        refusal = await self.packs.ask(done.id, "", who, "narrow stairs")
        assert refusal == "", refusal
        return (await self.page()).changes[0]

    async def page(self):
        return await self.packs.page("", PATH)

    async def state(self):
        return (await self.page()).changes[0].state

    async def shown(self, rule="hot_work.no_watcher"):
        page = await self.page()
        rule = next(one for pack in page.packs for one in pack.rules if one.id == rule)
        return rule.parameters[0].value, rule.parameters[0].running


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.open(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def way(file, authority, tmp_path):
    return Way(file, authority, tmp_path)


async def test_a_change_is_asked_for_only_after_its_test_and_approved_by_another(way) -> None:
    done = await outcome_of(way.packs, "hot_work.no_watcher", "wait", "40 s")
    assert done.state == "done" and done.before == "20 s"
    assert await way.packs.ask(done.id, "hangzhou/other", "Li", "x") != ""
    assert "why" in await way.packs.ask(done.id, "", "Li", " ")
    assert await way.packs.ask(done.id, "hangzhou", "Li", "narrow stairs") == ""
    assert "on its way already" in await way.packs.ask(done.id, "hangzhou", "Li", "again")
    change = (await way.page()).changes[0]
    assert (change.state, change.value, change.before, change.who, change.found.samples) == (
        "asked", "40 s", "20 s", "Li", 0)
    assert "second person" in await way.packs.judge(change.id, "", "Li", "ok", yes=True)
    assert "no such" in await way.packs.judge(change.id, "hangzhou/other", "Sun", "ok", yes=True)
    assert "why" in await way.packs.judge(change.id, "", "Sun", " ", yes=True)
    await way.courier.look()
    assert not way.sent and read_inventory(way.file).site.rules.parameters == way.numbers
    assert await way.packs.judge(change.id, "hangzhou", "Sun", "seen it", yes=True) == ""
    assert "no longer" in await way.packs.judge(change.id, "hangzhou", "Zhao", "me too", yes=True)
    change = (await way.page()).changes[0]
    assert (change.state, change.version, change.approved_by) == ("approved", 1, "Sun")


async def test_wanted_sent_and_running_are_three_things(way) -> None:
    change = await way.asked()
    await way.packs.judge(change.id, "", "Sun", "seen", yes=True)
    await way.courier.look()
    assert not way.sent and (await way.shown()) == ("20 s", "")  # the gateway has said nothing: nothing is known
    way.say(takes=True)
    assert (await way.shown()) == ("20 s", "20 s")
    await way.courier.look()
    await way.courier.look()  # not again before its time
    assert [(one.version, one.numbers) for one in way.sent] == [(1, {"hot_work.no_watcher": {"wait": "40 s"}})]
    assert await way.state() == "sent" and (await way.shown()) == ("20 s", "20 s")
    way.say(takes=True, offered=1, why="an alarm of hot_work.no_watcher stands")
    assert await way.state() == "waiting"
    way.numbers = {"hot_work.no_watcher": {"wait": "40 s"}}
    way.say(takes=True, version=1, offered=1, on_probation=True)
    assert await way.state() == "probation" and (await way.shown()) == ("20 s", "40 s")
    assert "probation" in await way.packs.judge(change.id, "", "Sun", "stop", yes=False)
    await way.courier.look()
    assert read_inventory(way.file).site.rules.parameters == OLD
    way.say(takes=True, version=1, offered=1)
    await way.courier.look()
    await way.courier.look()
    assert read_inventory(way.file).site.rules.parameters == way.numbers
    assert await way.state() == "running" and (await way.shown()) == ("40 s", "40 s")
    page = await way.page()
    rule = next(rule for pack in page.packs for rule in pack.rules if rule.id == "hot_work.no_watcher")
    kept = rule.changes[0]
    assert (kept.who, kept.why, kept.before, kept.value, kept.version) == ("Li", "narrow stairs", "20 s", "40 s", 2)
    assert len(rule.changes) == 1 and page.gateway.known and page.gateway.takes
    way.numbers = {"hot_work.no_watcher": {"wait": "50 s"}}
    way.say(takes=True, version=1, offered=1)  # somebody pushed another site file
    page = await way.page()
    assert page.changes[0].state == "unknown" and not page.gateway.known and (await way.shown()) == ("40 s", "")


@pytest.mark.parametrize(("why", "state"), [
    ("rolled back: the cloud was gone for 60 s after it", "rolled_back"), ("wait is more than 2 min", "refused")])
async def test_what_the_gateway_does_not_take_is_said_and_not_sent_again(way, why: str, state: str) -> None:
    change = await way.asked()
    await way.packs.judge(change.id, "", "Sun", "seen", yes=True)
    way.say(takes=True)
    await way.courier.look()
    way.say(takes=True, offered=1, why=why, final=True)
    way.courier._sent_us.clear()
    await way.courier.look()
    view = (await way.page()).changes[0]
    assert (view.state, view.told) == (state, why) and len(way.sent) == 1
    assert (await way.shown()) == ("20 s", "20 s") and read_inventory(way.file).site.rules.parameters == OLD
    assert (await way.asked("45 s")).state == "asked"  # and a new change may be asked for


async def test_versions_come_in_order_and_what_is_withdrawn_never_comes(way) -> None:
    first = await way.asked()
    second = await way.asked("0.7", rule="hot_work.no_permit", name="score")
    third = await way.asked("8 s", rule="hot_work.no_permit", name="wait")
    for one in (first, second, third):
        assert await way.packs.judge(one.id, "", "Sun", "seen", yes=True) == ""
    way.say(takes=True)
    await way.courier.look()
    assert await way.packs.judge(second.id, "", "Zhao", "no", yes=False) == ""
    assert "no longer" in await way.packs.judge(second.id, "", "Zhao", "no", yes=False)
    way.numbers = {"hot_work.no_watcher": {"wait": "40 s"}}
    way.say(takes=True, version=1, offered=1)
    await way.courier.look()  # the file here follows
    await way.courier.look()
    assert [one.version for one in way.sent] == [1, 3]
    assert {one.id: one.state for one in (await way.page()).changes} == {
        first.id: "running", second.id: "withdrawn", third.id: "sent"}


async def test_a_gateway_that_takes_none_leaves_it_to_a_person_and_the_page_says_so(way) -> None:
    change = await way.asked()
    await way.packs.judge(change.id, "", "Sun", "seen", yes=True)
    way.say()
    await way.courier.look()
    page = await way.page()
    assert page.changes[0].state == "by_hand" and not way.sent and "tocsin site push" in page.gateway.command
    assert (await way.shown()) == ("40 s", "20 s")  # the file here has it, the gateway runs the old one
    way.numbers = {"hot_work.no_watcher": {"wait": "40 s"}}
    way.say()
    assert await way.state() == "running" and (await way.shown()) == ("40 s", "40 s")


async def test_packs_in_words_are_kept_until_the_site_file_changes(file, monkeypatch) -> None:
    packs, asked = desk(file), []
    monkeypatch.setattr("community_os.pack_desk.rules_of_site",
                        lambda site: asked.append(site) or rules_of_site(site))
    await packs.page("", PATH)
    await packs.page("", PATH)
    assert len(asked) == 1
    file.write_text(with_numbers(file.read_text("utf-8"), {"hot_work.no_watcher": {"wait": "40 s"}}), "utf-8")
    page = await packs.page("", PATH)
    assert len(asked) == 2
    rule = next(rule for pack in page.packs for rule in pack.rules if rule.id == "hot_work.no_watcher")
    assert rule.parameters[0].value == "40 s"
    await packs.page("", PATH)
    assert len(asked) == 2


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
    after = with_numbers(text, {"fire.x": {"level": "3 dB/m"}})
    was, now = yaml.safe_load(text), yaml.safe_load(after)
    assert now["rules"]["parameters"] == {"fire.x": {"level": "3 dB/m"}}
    assert {k: v for k, v in now.items() if k != "rules"} == {k: v for k, v in was.items() if k != "rules"}
    assert with_numbers(after, {"fire.x": {"level": "4 dB/m"}}).count("fire.x") == 1


def test_the_changed_file_still_is_a_site_file(file) -> None:
    text = with_numbers(file.read_text(encoding="utf-8"), {"hot_work.no_permit": {"score": "0.7"}})
    file.write_text(text, encoding="utf-8")
    assert read_inventory(file).site.rules.parameters["hot_work.no_permit"] == {"score": "0.7"}


# --- published recordings ------------------------------------------------------------------------------------------


def changed_rule(rule: str, name: str, value: str):
    packs = shipped_packs(("fire",))
    return packs.rules[rule], packs.with_parameters({rule: {name: value}}).rules[rule]


def test_a_lower_smoke_level_comes_earlier_in_the_shipped_fires(tmp_path) -> None:
    found = Recordings().run(*changed_rule("fire.smoke_level", "level", "0.3 dB/m"))
    assert (found.events, found.found_before, found.found_after, found.missed) == (3, 3, 3, 0)
    assert found.later_s < 0 and found.fault == "" and not found.cut
    assert all(run.after_s < run.before_s and run.lines for run in found.runs)
    assert all(any(value is not None for _, value in line.samples) for run in found.runs for line in run.lines)
    there = Recordings(tmp_path / "none").run(*changed_rule("fire.smoke_level", "level", "0.3 dB/m"))
    assert there.events == 3 and "there is no such folder" in there.fault


def test_law_2_holds_for_published_recordings_too(file) -> None:
    inventory = read_inventory(file)
    rule, changed = changed_rule("fire.heat", "level", "160 °C")
    found = Recordings().run(rule, changed)
    assert found.missed > 0 and any(run.after_s is None for run in found.runs)
    assert f"missed {found.missed} events" in back_test(rule, changed, inventory, (), found).refusal
    kept = Recordings().run(*changed_rule("fire.heat", "level", "60 °C"))
    assert back_test(rule, changed, inventory, (), kept).refusal == ""  # seen, and nothing missed
    assert "nothing is recorded" in back_test(rule, changed, inventory, ()).refusal


def test_published_sets_are_run_where_they_stand(shared_sensors) -> None:
    found = Recordings(shared_sensors).run(*changed_rule("fire.smoke_level", "level", "0.3 dB/m"))
    assert found.experiments == found.events == 5 and found.found_after == 5


async def test_alarms_that_stay_say_how_much_later_they_come(file) -> None:
    inventory = read_inventory(file)
    rule = gas_rule(inventory)
    slower = msgspec.structs.replace(rule, for_us=rule.for_us + 60 * SECOND_US)
    outcome = back_test(rule, slower, inventory, Recorded().of())
    assert [one.later_s for one in outcome.kept] == [60.0] and not outcome.gone
