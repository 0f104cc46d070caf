"""A changed site file under a running gateway: what did not change is not touched, what may not change is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from device_model.command import Command, CommandKind, CommandOutcome
from device_model.errors import ConfigError, LocalFault
from device_model.inventory import Inventory
from device_model.site import Line, LineKind, Output, Text, Zone
from edge_agent.commands import reload_gateway
from edge_agent.field_lines import LinePorts
from edge_agent.site_diff import SiteChange, refusals, site_change
from tests.edge_agent.test_runtime import play

replace = msgspec.structs.replace
HOT, LINES, DEVICES = "d-250", 5, 500


def inventory(site, kit):
    return Inventory(site, kit.inventory().profiles)


def large(kit):
    """500 detectors on 5 lines."""
    lines = tuple(Line(f"line-{n}", LineKind.MODBUS_TCP, "127.0.0.1", 502 + n) for n in range(LINES))
    pattern = kit.site.devices[0]
    devices = tuple(replace(pattern, id=f"d-{n}", line=f"line-{n % LINES}", unit=n // LINES + 1)
                    for n in range(DEVICES))
    return replace(kit.site, lines=lines, devices=devices, outputs=())


class Kit:
    def __init__(self, kit, site):
        self.site, self._kit = site, kit
        self.start_us, self.zone, self.address = kit.start_us, kit.zone, kit.address

    def inventory(self):
        """Read each 2 s: a line carries 100 of them at half its time."""
        return Inventory(self.site, {name: replace(profile, points=tuple(
            replace(point, poll_interval_s=2.0) for point in profile.points))
            for name, profile in self._kit.inventory().profiles.items()})


async def reconfigure(bench, site):
    def no_ports(inventory, names):
        return LinePorts({name: bench.field.exchange(name) for name in names})

    return await bench.runtime.reconfigure(Inventory(site, bench.kit.inventory().profiles), bench.rules,
                                           bench.kit.zone, no_ports)


def timeline(kit, change):
    """(line, unit) → when it was asked, µs; the site changes at 5 s."""
    asked = {}

    async def script(bench):
        exchange_of = type(bench.field.exchange("line-0"))
        plain = exchange_of.exchange

        async def watched(self, request, *, timeout_s):
            asked.setdefault((self._line, request.unit), []).append(bench.clock.now().mono_us)
            return await plain(self, request, timeout_s=timeout_s)

        exchange_of.exchange = watched
        try:
            await bench.clock.sleep(5)
            if change is not None:
                await reconfigure(bench, change(bench.kit.site))
            await bench.clock.sleep(6)
        finally:
            exchange_of.exchange = plain

    play(Kit(kit, large(kit)), script)
    return asked


def isolation(device):
    return Command("c1", CommandKind.ISOLATE, device, "Li Wei", "works", 0, 0, 3600.0, True, "guard walks hourly")


def with_another(site):
    return replace(site, devices=(*site.devices, replace(site.devices[0], id="smoke-9", unit=9)))


def without(site):
    return replace(site, devices=tuple(d for d in site.devices if d.id != HOT))


def added(site):
    return replace(site, devices=(*site.devices, replace(site.devices[0], id="d-new", line="line-0", unit=200)))


def moved(site):
    return replace(site, devices=tuple(replace(d, unit=201) if d.id == HOT else d for d in site.devices))


@pytest.fixture(scope="module")
def undisturbed():
    return {}


@pytest.mark.parametrize(("change", "touched"), [
    pytest.param(without, {("line-0", 51)}, marks=pytest.mark.soak),
    pytest.param(added, {("line-0", 200)}, marks=pytest.mark.soak),
    (moved, {("line-0", 51), ("line-0", 201)}),  # one goes and one comes
])
def test_of_500_devices_one_changes_and_no_other_is_polled_otherwise(kit, change, touched, undisturbed):
    if not undisturbed:
        undisturbed.update(timeline(kit, None))
    asked = timeline(kit, change)
    others = [key for key in undisturbed if key not in touched]
    assert len(others) >= DEVICES - 1
    for key in others:
        same_line = key[0] == "line-0"
        assert len(asked[key]) >= 10
        if not same_line:
            assert asked[key] == undisturbed[key], f"{key} is on another line and was asked at other times"
        else:  # one more or one less question before it on the wire, 5 ms each, two blocks a device
            pairs = zip(asked[key], undisturbed[key], strict=False)
            assert abs(len(asked[key]) - len(undisturbed[key])) <= 1
            assert max(abs(one - other) for one, other in pairs) <= 10_000


def test_latches_timers_isolations_and_outputs_go_on(kit):
    """A fire stands, another device counts its minute, a third is isolated; then a fourth is added and one moves."""
    async def script(bench):
        bench.smoke(unit=1)
        await bench.clock.sleep(5)
        core = bench.runtime.core
        order = isolation("smoke-2")
        assert bench.runtime.act_on_site(order).outcome is CommandOutcome.APPLIED
        before = core.open_alarms()
        image = dict(core.image.frozen())
        assert any(alarm.subject == "smoke-1.smoke" for alarm in before)
        writes = len(bench.field.writes)
        site = bench.kit.site
        new = replace(site, devices=(*site.devices, replace(site.devices[0], id="smoke-9", unit=9)),
                      zones=(*site.zones, Zone("attic", Text("attic", "阁楼"), "b1", "f1")))
        assert (await reconfigure(bench, new)).added == ("smoke-9",)
        assert core.open_alarms() == before and dict(core.image.frozen()) == image
        assert {i.subject for i in core.impairments()} == {"smoke-2"}
        bench.smoke(False, unit=1)
        await bench.clock.sleep(5)
        assert [a.alarm for a in core.open_alarms() if a.subject == "smoke-1.smoke"] == [
            a.alarm for a in before if a.subject == "smoke-1.smoke"], "latched: it stands until a person resets it"
        assert len(bench.field.writes) == writes, "no output moved"
        bench.smoke(unit=9)
        await bench.clock.sleep(5)
        assert any(alarm.subject == "smoke-9.smoke" for alarm in core.open_alarms()), "the new device is judged"
        bench.counts = dict(core.counts)

    bench = play(kit, script)
    assert bench.counts["failed_steps"] == 0 and not bench.said("part failed, started again")


def test_a_minute_that_runs_is_not_begun_anew(kit):
    async def script(bench):
        bench.field.cells["tcp-1", 1, 4, 1] = 90  # 0.9 dB/m
        await bench.clock.sleep(40)
        await reconfigure(bench, with_another(bench.kit.site))
        await bench.clock.sleep(25)
        (alarm,) = (a for a in bench.runtime.core.open_alarms() if a.subject.startswith("smoke-1"))
        assert alarm.state == "raised"

    play(kit, script, slow=True)


def test_a_device_in_alarm_goes_only_when_isolated(kit):
    async def script(bench):
        bench.smoke(unit=1)
        await bench.clock.sleep(5)
        site = bench.kit.site
        gone = replace(site, devices=site.devices[1:])
        core = bench.runtime.core
        with pytest.raises(ConfigError, match=r"smoke-1.*law of safety 3"):
            await reconfigure(bench, gone)
        assert "smoke-1" in core.inventory.devices
        order = isolation("smoke-1")
        bench.runtime.act_on_site(order)
        await reconfigure(bench, gone)
        (alarm,) = (a for a in core.open_alarms() if a.subject == "smoke-1.smoke")
        assert alarm.state == "raised", "it stays raised until a named person closes it"
        assert not core.impairments(), "what is not there any more lacks nothing"
        reset = Command("c2", CommandKind.RESET_ALARM, alarm.alarm, "Li Wei", "gone", 0, 0)
        result = bench.runtime.act_on_site(reset)
        assert result.outcome is CommandOutcome.APPLIED and not core.open_alarms()

    play(kit, script)


def test_a_line_that_changes_is_opened_anew_alone(kit):
    async def script(bench):
        await bench.clock.sleep(5)
        other = bench.runtime.field.drivers["tcp-1"]
        before = bench.runtime.field.drivers["tcp-2"]
        site = bench.kit.site
        lines = (site.lines[0], replace(site.lines[1], port=1503), replace(site.lines[1], id="tcp-3", port=1504))
        await reconfigure(bench, replace(site, lines=lines))
        assert bench.runtime.field.drivers["tcp-1"] is other
        assert bench.runtime.field.drivers["tcp-2"] is not before and "tcp-3" in bench.runtime.field.drivers
        await bench.clock.sleep(5)
        assert bench.runtime.core.health.alive == 4
        await reconfigure(bench, site)
        assert set(bench.runtime.field.drivers) == {"tcp-1", "tcp-2"} == set(bench.runtime.field.tasks)

    bench = play(kit, script)
    assert not bench.said("device lost") and not bench.said("part failed, started again")


@pytest.mark.parametrize(("what", "says"), [
    (lambda s: replace(s, gateway=replace(s.gateway, id="gw-2")), "gateway.id"),
    (lambda s: replace(s, gateway=replace(s.gateway, journal_path="elsewhere")), "gateway.journal_path"),
    (lambda s: replace(s, tenancy=replace(s.tenancy, site="other")), "site path"),
    (lambda s: replace(s, outputs=s.outputs[1:]), "law of safety 5"),
])
def test_what_only_a_restart_changes_is_refused(kit, what, says):
    old, new = kit.inventory(), inventory(what(kit.site), kit)
    found = refusals(old, new, site_change(old, new), open_alarms=(), isolated=(), outputs_on={"bell"})
    assert [says in finding.what and bool(finding.remedy) for finding in found] == [True]


def test_the_diff_says_what_is_different(kit):
    old = kit.inventory()
    assert site_change(old, kit.inventory()).empty and site_change(old, kit.inventory()).words() == "nothing changed"
    site = kit.site
    place = replace(site, devices=(replace(site.devices[0], zone="hall"), *site.devices[1:]))
    assert site_change(old, inventory(place, kit)) == SiteChange(changed=("smoke-1",))
    profile = replace(site.devices[0], profile="button")
    assert site_change(old, inventory(replace(site, devices=(profile, *site.devices[1:])), kit)).anew == ("smoke-1",)
    output = Output(**{name: getattr(site.outputs[0], name) for name in Output.__struct_fields__} | {"id": "bell-2"})
    more = inventory(replace(site, outputs=(*site.outputs, output)), kit)
    assert site_change(old, more).outputs_added == ("bell-2",)
    assert site_change(old, inventory(replace(site, access_note=Text("gate", "门")), kit)).other


ROOT = Path(__file__).resolve().parents[2]
FILE = """
site:
  path: hangzhou/yuhang/cangqian/riverside
  name: {en: Riverside, zh: 河滨}
  address: {en: River Street 1, zh: 河滨街1号}
  time_zone: Asia/Shanghai
gateway: {id: gw-1, journal_path: var/journal.sqlite}
lines:
  - {id: bus, kind: modbus_tcp, host: 127.0.0.1, port: 9}
buildings:
  - {id: b1, name: {en: b, zh: 楼}, floors: [{id: f1, name: {en: f, zh: 层},
     zones: [{id: z1, name: {en: z, zh: 区}, kind: dwelling}]}]}
devices:
  - {id: duct, profile: calectro-ug3, line: bus, unit: 1, zone: z1, place: {en: p, zh: 处}}
"""
MORE = FILE + "  - {id: duct-2, profile: calectro-ug3, line: bus, unit: 2, zone: z1, place: {en: p, zh: 处}}\n"


@pytest.mark.real
def test_a_real_gateway_reloads_and_refuses(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(FILE, encoding="utf-8")
    log = (tmp_path / "log").open("wb")
    gateway = subprocess.Popen([sys.executable, "-m", "edge_agent", str(path)], cwd=ROOT, stderr=log)
    try:
        _until((tmp_path / "var" / "journal.control").exists)
        path.write_text(MORE, encoding="utf-8")
        _until(lambda: _said(path) == "added duct-2" or b"added duct-2" in (tmp_path / "log").read_bytes())
        path.write_text(MORE.replace("ug3, line: bus, unit: 2", "nothing, line: bus, unit: 2"), encoding="utf-8")
        with pytest.raises(ConfigError, match=r"site.yaml:\d+"):
            reload_gateway(path)
        path.write_text(FILE, encoding="utf-8")
        gateway.send_signal(signal.SIGHUP)
        _until(lambda: b"removed duct-2" in (tmp_path / "log").read_bytes())
        path.write_text(FILE.replace("id: gw-1", "id: gw-2"), encoding="utf-8")
        with pytest.raises(LocalFault, match=r"gateway\.id"):
            reload_gateway(path)
        assert gateway.poll() is None
    finally:
        gateway.terminate()
        assert gateway.wait(60) == 0
        log.close()


def _said(path):
    try:
        return reload_gateway(path)
    except LocalFault:
        return ""


def _until(true, within_s=60.0):
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


