"""`tocsin bench flood`: 10,000 alarms in 10 s into one site, and fires among them: how late is a fire, what is lost.

    batches of a gateway, at the real pace ──► SiteWorker ──► incident store (SQLite, synced) ──► notices stored
    fire_p99_ms: from the moment a fire arrived to the moment its notice was durable, queueing included
    notifications: how many the others made (one a group); lost: alarms that no incident holds

As in the partition's worker, what waits is taken in groups of at most 200 messages and stored in one transaction.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from pathlib import Path

from bench.report import Report, figure, report
from community_os.envelopes import UpEnvelope
from community_os.notice_desk import DutyFiles
from community_os.site_worker import SiteWorker
from community_os.store import IncidentStore
from community_os.store_changes import NoticeRow, SiteCommit, StoreChange
from demo.percentile import percentile
from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity, alarm_id
from device_model.clock import SECOND_US
from device_model.inventory import Inventory
from device_model.messages import AlarmRecord, Batch, Lane, Record
from device_model.profile import Certainty, DeviceClass, DeviceProfile, MqttTraits, ProfilePoint
from device_model.site import Building, Device, Floor, GatewaySettings, Site, Tenancy, Text, Zone
from rules_engine.routing_file import parse_routing

START_US = 1_790_000_000 * SECOND_US
ZONES = 100
BATCH_S = 0.05  # a gateway sends what it has about so often
GROUP_MAX = 200
FIRES = 100
PROFILE = DeviceProfile("leak", 1, "m", "m", "leak", "leak", DeviceClass.LEAK, Certainty.B, "made for bench",
                        (ProfilePoint("wet", "leak", "1", "wet", "wet"),), mqtt=MqttTraits("t"))
ROUTING = """
receivers:
  - {name: owner, party: owner, endpoints: [owner]}
  - {name: micro, party: micro_station, endpoints: [micro]}
  - {name: desk, party: monitoring_desk, endpoints: [desk]}
  - {name: brigade, party: brigade, endpoints: [brigade]}
life_safety: [owner, micro, desk, brigade]
route: {receiver: desk, group_by: [site, family], group_wait: 10s}
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many, how fast."""
    parser.add_argument("--alarms", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0)


def run(options: argparse.Namespace) -> Report:
    """Measure in this thread alone."""
    with tempfile.TemporaryDirectory() as folder:
        store = IncidentStore(f"sqlite:///{Path(folder) / 'incidents.sqlite'}")
        store.open()
        try:
            return _measure(store, options)
        finally:
            store.close()


def _measure(store: IncidentStore, options: argparse.Namespace) -> Report:
    site = _inventory(options.alarms)
    worker = SiteWorker(site, {}, None, START_US, DutyFiles(parse_routing(ROUTING, "bench.yaml")))
    batches = _batches(site, options)
    gc.collect()
    late_ms: list[float] = []
    said = number = sequence = 0
    begun, cpu = time.perf_counter(), time.process_time()
    while number < len(batches):
        wait = begun + batches[number][0] - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        now_s = time.perf_counter() - begun
        changes: list[StoreChange] = []
        fires: list[float] = []
        while number < len(batches) and batches[number][0] <= now_s and len(fires) < GROUP_MAX:
            due_s, envelope, fire = batches[number]
            changes += worker.step(envelope).changes
            if fire:
                fires.append(due_s)
            number += 1
        changes += worker.tick(START_US + round(now_s * 1e6)).changes
        sequence += 1
        store.apply([SiteCommit(site.site.tenancy.path, sequence, tuple(changes))])
        late_ms += [(time.perf_counter() - begun - due_s) * 1e3 for due_s in fires]
        said += _notifications(changes)
    spent_s, cores = time.perf_counter() - begun, (time.process_time() - cpu) / (time.perf_counter() - begun)
    said += _notifications(worker.tick(START_US + 60 * SECOND_US).changes)
    held = sum(len(incident.alarms) for incident in store.snapshot("", START_US).incidents)
    lost = sum(worker.incident_of(name) == "" for name in _names(site, options.alarms))
    return report("flood", {
        "fire_p99_ms": figure(percentile(late_ms, 0.99), "ms", at_most=1000),
        "fire_worst_ms": figure(max(late_ms), "ms"),
        "notifications": figure(said, "", at_most=1),
        "lost": figure(lost, "", at_most=0),
        "alarms_shown": figure(held, ""),
        "cpu_cores": figure(cores, ""),
        "seconds": figure(spent_s, "s"),
    }, {"alarms": options.alarms, "seconds": options.seconds, "fires": FIRES})


def _notifications(changes: list[StoreChange]) -> int:
    """What the others made people hear: one receiver, so one endpoint."""
    found = [json.loads(change.body) for change in changes
             if isinstance(change, NoticeRow) and change.endpoint == "desk" and not change.urgent]
    return sum(event["type"] == "tocsin.notification.v1" for event in found)


def _names(site: Inventory, alarms: int) -> list[str]:
    return [f"water.leak|{device}.wet" for device in list(site.devices)[:alarms]]


def _batches(site: Inventory, options: argparse.Namespace) -> list[tuple[float, UpEnvelope, bool]]:
    """(second, batch, whether it is a fire) in order."""
    devices = list(site.devices.values())
    per_batch = max(1, round(options.alarms / options.seconds * BATCH_S))
    found: list[tuple[float, UpEnvelope, bool]] = []
    for first in range(0, options.alarms, per_batch):
        due_s = first / options.alarms * options.seconds
        some = devices[first:first + per_batch]
        found.append((due_s, _envelope(site.site, some, Hazard.WATER, due_s, first), False))
    for n in range(FIRES):
        due_s = (n + 0.5) / FIRES * options.seconds
        device = devices[n * len(devices) // FIRES]
        found.append((due_s, _envelope(site.site, [device], Hazard.FIRE, due_s, options.alarms + n), True))
    return sorted(found, key=lambda one: one[0])


def _envelope(site: Site, devices: list[Device], hazard: Hazard, due_s: float, first: int) -> UpEnvelope:
    at_us = START_US + round(due_s * 1e6)
    rule = "fire.smoke" if hazard is Hazard.FIRE else "water.leak"
    records = []
    for i, device in enumerate(devices):
        key = AlarmKey(rule, f"{device.id}.wet")
        step = AlarmTransition(
            alarm_id(site.tenancy.path, key, at_us), key, AlarmState.RAISED, AlarmState.PENDING, hazard,
            Severity.ALARM, at_us, at_us, device.zone, device.id)
        records.append(Record(first + i + 1, at_us, at_us, "b", AlarmRecord(step)))
    return UpEnvelope(site.tenancy.path, at_us, Batch(1, site.gateway.id, "e1", Lane.ALARM, tuple(records)))


def _inventory(alarms: int) -> Inventory:
    zones = tuple(Zone(f"z{n}", Text(f"z{n}", f"z{n}"), f"b{n // 10}", "f1") for n in range(ZONES))
    buildings = tuple(Building(f"b{n}", Text("b", "b"), (Floor("f1", Text("1", "1")),)) for n in range(ZONES // 10))
    devices = tuple(Device(f"leak-{n}", "leak", "l1", zones[n % ZONES].id, Text("x", "x")) for n in range(alarms))
    return Inventory(Site(Tenancy("a", "b", "c", "d"), Text("s", "s"), GatewaySettings("gw"), buildings, zones, (),
                          devices), {"leak": PROFILE})
