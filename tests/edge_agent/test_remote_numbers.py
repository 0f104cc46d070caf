"""Numbers of rules from the cloud: only signed, only within the pack, never under a standing alarm."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.errors import ConfigError, LocalFault
from device_model.library import read_inventory
from device_model.messages import GatewayAddress, HeartbeatRecord
from device_model.numbers import NumbersReport, digest_of
from device_model.site import Tenancy
from edge_agent.compose import read_configuration
from edge_agent.events import OpenAlarm
from edge_agent.numbers_teller import AGAIN_BEATS, NEWS_BEATS, NumbersTeller, hold_against
from edge_agent.probation import RemoteState
from edge_agent.remote_site import NumbersWay, RemoteSite
from provisioning.authority import Authority
from provisioning.site_numbers import SignedNumbers, open_numbers, sign_numbers, with_numbers, without_known
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

ADDRESS = GatewayAddress(Tenancy("a", "b", "c", "d"), "gw-1")
OTHER = GatewayAddress(Tenancy("a", "b", "c", "d"), "gw-2")
WAIT = {"device.silent_line": {"wait": "5 min"}}
SITE = """
site: {path: a/b/c/d, name: Name}
gateway: {id: gw-1}
lines: [ {id: self, kind: gateway} ]
buildings: [ {id: b1, name: B, floors: [ {id: f1, name: F, zones: [ {id: z1, name: Z} ]} ]} ]
rules:
  packs: [fire, gas]   # as agreed
devices: [ {id: gw, profile: tocsin-gateway, line: self, zone: z1} ]
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.open(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def number(tmp_path_factory):
    """A rule of the gas pack with a number, its default and its bound."""
    from rules_engine.packs import rules_of_site

    inventory = read_inventory_of(SITE, tmp_path_factory.mktemp("site"))
    for rule in rules_of_site(inventory.site).deciding:
        for name, parameter in rule.parameters.items():
            if rule.id.startswith("gas.") and parameter.least and parameter.most:
                return rule.id, name, parameter
    raise AssertionError("the gas pack has no number with bounds")


def read_inventory_of(text, folder):
    file = folder / "site.yaml"
    file.write_text(text, encoding="utf-8")
    return read_inventory(file)


def signed(authority, numbers, version=1, address=ADDRESS):
    return sign_numbers(numbers, version, address, authority.sign_word)


# --- the message ---------------------------------------------------------------------------------------------------


def test_what_was_signed_comes_out(authority):
    opened = open_numbers(signed(authority, WAIT, 7), ADDRESS, authority.ca_pem)
    assert (opened.numbers, opened.version) == (WAIT, 7)


@pytest.mark.parametrize("change", [
    {"version": 8}, {"gateway": "a.b.c.d.gw-2"}, {"v": 2}, {"signature": "00"}, {"signature": "zz"},
    {"numbers": {"device.silent_line": {"wait": "6 min"}}}, {"numbers": {}}, {"numbers": {"a b": {"c": "1"}}},
    {"numbers": {"a": {"b": "1\n2"}}}])
def test_every_part_is_under_the_signature(authority, change):
    message = msgspec.json.decode(signed(authority, WAIT, 7), type=SignedNumbers)
    with pytest.raises(ValueError, match=r"."):
        open_numbers(msgspec.json.encode(msgspec.structs.replace(message, **change)), ADDRESS, authority.ca_pem)


def test_another_authority_or_gateway_is_refused(authority, tmp_path):
    stranger = Authority.open(tmp_path)
    with pytest.raises(ValueError, match="not signed by the authority"):
        open_numbers(signed(stranger, WAIT), ADDRESS, authority.ca_pem)
    with pytest.raises(ValueError, match=r"are for a\.b\.c\.d\.gw-2"):
        open_numbers(signed(authority, WAIT, address=OTHER), ADDRESS, authority.ca_pem)


@given(st.binary(max_size=200) | st.builds(
    SignedNumbers, v=st.just(1), gateway=st.text(max_size=5), version=st.integers(0, 9),
    numbers=st.dictionaries(st.text(max_size=5), st.dictionaries(st.text(max_size=4), st.text(max_size=4))),
    signature=st.text(max_size=20)).map(msgspec.json.encode))
def test_garbled_messages_are_refused_and_nothing_else_happens(authority, payload):
    with contextlib.suppress(ValueError):
        open_numbers(payload, ADDRESS, authority.ca_pem)
        raise AssertionError("nobody signed that")


# --- the site file -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    SITE, SITE.replace("rules:\n  packs: [fire, gas]   # as agreed\n", ""), SITE + "\n# the end\n",
    SITE.replace("rules:\n  packs: [fire, gas]   # as agreed", "rules: {packs: [fire, gas]}"),
    SITE.replace("# as agreed", "\n  parameters: {gas.low: {level: 8 %LEL}}")])
def test_only_the_numbers_of_a_site_file_change(text):
    import yaml

    before, after = yaml.safe_load(text), yaml.safe_load(with_numbers(text, WAIT))
    rules = after.pop("rules")
    assert rules["parameters"]["device.silent_line"] == {"wait": "5 min"}
    kept = before.pop("rules", {})
    assert after == before and rules.get("packs") == kept.get("packs")
    for rule, own in (kept.get("parameters") or {}).items():
        assert rules["parameters"][rule] == own


def test_a_site_file_that_would_not_stay_is_refused():
    with pytest.raises(ValueError, match="no YAML"):
        with_numbers('{"site": {"path": "a/b/c/d"}}', WAIT)
    with pytest.raises(ValueError, match="no mapping"):
        with_numbers("- a", WAIT)


def test_what_runs_already_is_not_sent_again():
    assert without_known({"a": {"x": "1", "y": "2"}, "b": {"z": "3"}}, {"a": {"x": "1"}, "b": {"z": "3"}}) == {
        "a": {"y": "2"}}


# --- the gateway ---------------------------------------------------------------------------------------------------


class Tap:
    def __init__(self):
        self.connected, self.waiting, self.numbers = True, asyncio.Queue(), asyncio.Queue()


def play(tmp_path, authority, script, *, alarms=()):
    config = tmp_path / "site.yaml"
    config.write_text(SITE, encoding="utf-8")
    (tmp_path / "ca.pem").write_bytes(authority.ca_pem)
    loop = VirtualLoop()

    async def main():
        clock, tap, told, standing = VirtualClock(loop, "b", wall_us=0), Tap(), [], list(alarms)
        running = [read_configuration(config)[0]]

        async def apply(file, *, numbers_only=False):
            inventory, rules, _ = read_configuration(file)
            if numbers_only:
                hold_against(running[-1], inventory, standing, rules)
            running.append(inventory)
            return "rules"

        def start():
            way = NumbersWay(tmp_path / "ca.pem", partial(apply, numbers_only=True), 60, told.append)
            remote = RemoteSite(tap, config, None, ADDRESS, clock, apply, roll_back_after_s=300, numbers=way)
            return remote, asyncio.ensure_future(remote.run())

        await script(clock, tap, told, start, running, standing)

    run_virtual(main(), loop)


def test_applied_confirmed_and_not_played_again(tmp_path, authority, number):
    rule, name, parameter = number

    async def script(clock, tap, told, start, running, standing):
        _, task = start()
        await clock.sleep(2)
        assert told[-1] == NumbersReport(takes=True)
        tap.numbers.put_nowait(signed(authority, {rule: {name: parameter.least}}, 3))
        await clock.sleep(3)
        assert told[-1] == NumbersReport(takes=True, version=3, on_probation=True, offered=3)
        assert running[-1].site.rules.parameters == {rule: {name: parameter.least}}
        assert "devices: [ {id: gw, profile" in (tmp_path / "site.yaml").read_text()
        tap.numbers.put_nowait(signed(authority, {rule: {name: parameter.most}}, 4))
        await clock.sleep(3)
        assert told[-1].offered == 4 and "probation" in told[-1].why and not told[-1].final
        await clock.sleep(60)
        assert told[-1].version == 3 and not told[-1].on_probation
        tap.numbers.put_nowait(signed(authority, {rule: {name: parameter.most}}, 4))
        await clock.sleep(70)
        tap.numbers.put_nowait(signed(authority, {rule: {name: parameter.least}}, 3))
        await clock.sleep(3)
        assert told[-1].version == 4 and running[-1].site.rules.parameters == {rule: {name: parameter.most}}
        task.cancel()

    play(tmp_path, authority, script)


def test_out_of_the_packs_bounds_is_refused_for_good(tmp_path, authority, number):
    rule, name, _ = number

    async def script(clock, tap, told, start, running, standing):
        _, task = start()
        for version, numbers in enumerate(({rule: {name: "1000000 %LEL"}}, {rule: {name: "nonsense"}},
                                           {"no.rule": {"level": "1"}}, {rule: {"no_number": "1"}}), start=1):
            tap.numbers.put_nowait(signed(authority, numbers, version))
            await clock.sleep(3)
            assert told[-1].version == 0 and told[-1].offered == version and told[-1].final and told[-1].why
        assert len(running) == 1 and (tmp_path / "site.yaml").read_text() == SITE
        task.cancel()
        _, task = start()
        await clock.sleep(2)
        assert told[-1].final and told[-1].offered == 4  # a restart forgets no refusal
        task.cancel()

    play(tmp_path, authority, script)


def test_rolled_back_when_the_cloud_is_gone_also_over_a_restart(tmp_path, authority, number):
    rule, name, parameter = number

    async def script(clock, tap, told, start, running, standing):
        _, task = start()
        tap.numbers.put_nowait(signed(authority, {rule: {name: parameter.least}}, 5))
        await clock.sleep(3)
        tap.connected = False
        task.cancel()
        _, task = start()
        await clock.sleep(65)
        assert running[-1].site.rules.parameters == {} and (tmp_path / "site.yaml").read_text() == SITE
        assert told[-1].version == 0 and told[-1].final and "cloud was gone" in told[-1].why
        tap.connected = True
        tap.numbers.put_nowait(signed(authority, {rule: {name: parameter.least}}, 5))
        await clock.sleep(3)
        assert told[-1].version == 0
        tap.numbers.put_nowait(signed(authority, {rule: {name: parameter.least}}, 6))
        await clock.sleep(70)
        assert told[-1].version == 6 and not told[-1].final
        task.cancel()

    play(tmp_path, authority, script)


def test_not_under_a_standing_alarm(tmp_path, authority, number):
    rule, name, parameter = number

    async def script(clock, tap, told, start, running, standing):
        _, task = start()
        tap.numbers.put_nowait(signed(authority, {rule: {name: parameter.least}}, 1))
        await clock.sleep(3)
        assert told[-1].version == 0 and "stands" in told[-1].why and not told[-1].final
        standing.clear()
        tap.numbers.put_nowait(signed(authority, {rule: {name: parameter.least}}, 1))
        await clock.sleep(3)
        assert told[-1].version == 1 and told[-1].why == ""
        task.cancel()

    play(tmp_path, authority, script, alarms=[OpenAlarm("a", rule, "x", "raised", "z1", 1)])


def test_unsigned_numbers_and_site_files_without_a_key_change_nothing(tmp_path, authority):
    async def script(clock, tap, told, start, running, standing):
        remote, task = start()
        tap.numbers.put_nowait(b'{"v":1}')
        tap.waiting.put_nowait(b"{}")
        await clock.sleep(3)
        assert len(running) == 1 and told[-1] == NumbersReport(takes=True) and "no key is pinned" in remote.last
        task.cancel()

    play(tmp_path, authority, script)


def test_nothing_but_numbers_comes_along(tmp_path):
    running = read_inventory_of(SITE, tmp_path)
    hold_against(running, read_inventory_of(with_numbers(SITE, {}), tmp_path), ())
    with pytest.raises(LocalFault, match="reload it first"):
        hold_against(running, read_inventory_of(SITE.replace("name: Name", "name: Else"), tmp_path), ())


def test_a_switch_without_bounds_is_nothing_that_the_cloud_turns(tmp_path):
    site = SITE.replace("[fire, gas]", "[headcount]")
    running = read_inventory_of(site, tmp_path)
    (tmp_path / "site.yaml").write_text(with_numbers(site, {"headcount.left_inside": {"watch": "false"}}))
    inventory, rules, _ = read_configuration(tmp_path / "site.yaml")
    with pytest.raises(ConfigError, match="has no bounds"):
        hold_against(running, inventory, (), rules)


def test_state_of_both_kinds():
    state = RemoteState().applied(3).confirmed().numbers_applied(9)
    assert (state.version, state.numbers, state.of_numbers) == (3, 9, True)
    back = state.rolled_back("gone")
    assert (back.version, back.numbers, back.numbers_refused, back.numbers_why, back.refused) == (3, 0, 9, "gone", 0)
    assert state.confirmed().applied(4).rolled_back().numbers == 9


def test_what_runs_is_said_when_it_is_news_and_now_and_then():
    teller, beat = NumbersTeller(), HeartbeatRecord(1, {})
    first = {"a": {"b": "1"}}
    said = [teller.said(beat, first).numbers for _ in range(AGAIN_BEATS + 1)]
    assert [at for at, one in enumerate(said) if one] == [*range(NEWS_BEATS), AGAIN_BEATS]
    assert said[0].digest == digest_of(first) != digest_of({})
    teller.hear(NumbersReport(takes=True, version=2, offered=2))
    again = [teller.said(beat, {"a": {"b": "2"}}).numbers for _ in range(4)]
    assert [one is not None for one in again] == [True] * NEWS_BEATS + [False] and again[0].version == 2
    assert digest_of({"a": {}}) == digest_of({})
