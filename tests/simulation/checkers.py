"""Checkers: what the product promises, held against what really happened. Each gives lines; none means kept.

    during the run   look(world), each two virtual seconds: who is not heard is shown silent, queues keep their bounds
    at the end       judge(world): no alarm lost, none shown twice, none without cause, deadline, sounder, gaps, trust

Each is shown to be able to fail by test_checkers.py, which breaks something and expects the line.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cloud_bridge.journal_lane import PENDING_MAX, RECENT_MAX
from cloud_bridge.memory_lane import RING_MAX
from community_os.gateway_watch import HEARTBEATS_MISSED
from community_os.ingest import QUEUE_BYTES_MAX
from community_os.ledger import RANGES_MAX, STREAMS_MAX
from device_model.alarm import LIFE_SAFETY
from device_model.impairment import ImpairmentKind
from device_model.messages import Lane, decode_record
from device_model.read_models import IncidentView
from tests.simulation.estate import DETECTORS, HEARTBEAT_S
from tests.simulation.witness import SECOND, Stimulus
from trial.link_model import QUEUE_MAX

if TYPE_CHECKING:
    from tests.simulation.world import World

MUTE_SAID_S = 25.0  # three polls of the slowest device with their time-outs, and the way to the board
DEADLINE_S = 3.0  # a poll of one second, and what the links and the cloud take
POLLS_S = 2 * 1.0 + 0.05  # design, section 6: register change to output
GAS_WAIT_S = 2.0  # the rule's own `for`
SETTLE_S = 1.5  # an alarm is durable so long after it was read, when the disk is well
DISK_RECOVERS_S = 7.0  # the longest pause between two tries of a commit, and one commit
JOURNAL_OPENS_S = 40.0  # the pause between two tries to open a journal, and one open
SILENT_S = HEARTBEATS_MISSED * HEARTBEAT_S
SILENT_SLACK_S = 4.0
BACK_SLACK_S = 4.0
FOUND_AGAIN_S = 75.0  # a device that was lost is asked again at growing intervals, up to a minute (line_schedule.py)
SLOW_POLL_S = 60.0
ANSWERED_S = 10.0  # a record of the last seconds may still be on its way
CHECKPOINT_BYTES_MAX = 1024 * 1024  # what one KV value may be (design, section 5)
LINES = ("line_bad", "line_down", "mute")
LIVES = ("kill_gateway", "power_cut", "kill_at_journal")


# -- during the run ----------------------------------------------------------------------------------------------


def look(world: World) -> None:
    """Each two seconds of virtual time."""
    _stale_is_said(world)
    _silence_is_said(world)
    _memory(world)


def _stale_is_said(world: World) -> None:
    """Who was not heard for three heartbeats is shown silent, and nobody who is heard."""
    cloud, now = world.cloud, world.loop.now_us
    if not cloud.up["worker"] or not cloud.worker_ready_us or cloud.stream.server.down:
        return
    if cloud.fault_rate or _lately(world, "stream_bad", 8):
        return
    views = cloud.board()
    for path, site in cloud.site_of.items():
        listening = max(world.witness.last_up_us.get(path, 0), cloud.worker_ready_us,
                        _last_end(world, "nats_down"))
        quiet_s = (now - listening) / SECOND
        view = views.get(path)
        if view is None:
            if (now - cloud.worker_ready_us) / SECOND > SILENT_SLACK_S:
                world.witness.problem("stale", f"site {site} has no gateway row")
        elif quiet_s > SILENT_S + SILENT_SLACK_S and not view.silent:
            world.witness.problem("stale", f"gateway of site {site} not heard for {quiet_s:.1f} s, not shown silent")
        elif view.silent and now - cloud.worker_ready_us > BACK_SLACK_S * SECOND and _heard_twice(world, path):
            world.witness.problem("stale", f"gateway of site {site} is heard, and shown silent")


def _silence_is_said(world: World) -> None:
    """A device that has not answered for a while is shown as silent, when nothing else keeps that from being said."""
    now = world.loop.now_us
    since = now - round(MUTE_SAID_S * SECOND)
    for number, box in world.boxes.items():
        muted = [device for bus in box.buses.values() for device in bus.mute]
        if not muted or box.life is None or box.life.began_us > since or not world.cloud.up["worker"]:
            continue
        if any(f.overlaps(since, now) and f.site in (number, -1) and not (f.kind == "mute" and not f.ended_us)
               for f in world.witness.faults):
            continue
        mutes = [f for f in world.witness.faults if f.kind == "mute" and f.site == number and not f.ended_us]
        if len(mutes) != 1 or mutes[0].began_us > since:
            continue
        shown = {(v.tenancy.path, v.impairment.subject) for v in world.cloud.store.snapshot(
            box.inventory.site.tenancy.path, 0).impairments if v.impairment.kind is ImpairmentKind.SILENT}
        for device in muted:
            if (box.inventory.site.tenancy.path, device) not in shown:
                world.witness.problem("stale", f"{device} of site {number} is silent for {MUTE_SAID_S:g} s, unsaid")


def _heard_twice(world: World, path: str) -> bool:
    """Whether a message came, and the worker has had time to take it."""
    stored, heard = world.witness.last_up_us.get(path, 0), world.witness.last_heard_us.get(path, 0)
    now = world.loop.now_us
    return stored > 0 and (now - stored) / SECOND > BACK_SLACK_S and (now - heard) / SECOND < SILENT_S - 1


def _lately(world: World, kind: str, within_s: float) -> bool:
    now = world.loop.now_us
    return any(f.kind == kind and f.overlaps(now - round(within_s * SECOND), now) for f in world.witness.faults)


def _last_end(world: World, kind: str) -> int:
    return max((f.ended_us for f in world.witness.faults if f.kind == kind), default=0)


def _memory(world: World) -> None:
    """Everything that grows has a bound, and keeps it."""
    witness = world.witness
    for box in world.boxes.values():
        outbox = getattr(box.runtime, "_outbox", None)
        if outbox is None:
            continue
        for lane in Lane:
            memory, journal = outbox._memory[lane], outbox._journal.get(lane)
            _within(world, f"memory copies of {lane}", len(memory), RING_MAX[lane])
            if journal is not None:
                _within(world, f"pending of {lane}", len(journal.pending), PENDING_MAX[lane])
                _within(world, f"recent of {lane}", len(journal.recent), RECENT_MAX[lane])
    ingest = world.cloud.ingest
    if ingest is not None:
        _within(world, "bytes waiting in the ingest", ingest._waiting_bytes, QUEUE_BYTES_MAX)
    for key, (value, _, _) in world.cloud.stream.server.keys.items():
        if key.startswith("site."):
            _within(world, "bytes of a site's checkpoint", len(value), CHECKPOINT_BYTES_MAX)
    witness.peak("messages waiting in a link", world.cloud.broker.queue_peak)
    _within(world, "messages waiting in a link", world.cloud.broker.queue_peak, QUEUE_MAX - 1)


def _within(world: World, what: str, size: int, most: int) -> None:
    world.witness.peak(what, size)
    if size > most:
        world.witness.problem("memory", f"{what}: {size}, the bound is {most}")


# -- at the end --------------------------------------------------------------------------------------------------


def judge(world: World) -> list[str]:
    """All promises."""
    problems = list(dict.fromkeys(world.witness.problems))
    incidents = world.cloud.store.snapshot("", 0).incidents
    for checker in (_lost, _twice, _without_cause, _standing):
        problems += checker(world, incidents)
    for check in (_deadline, _sounder, _gaps, _impairments, _told, _mistakes, _delivered):
        problems += check(world)
    return problems


def owed(world: World, stimulus: Stimulus) -> bool:
    """Whether the product must have kept this alarm: a life of the gateway was told of it for long enough, and then
    either lived on to the end, or had a disk that took it. (What is only in memory dies with the process.)"""
    hold_us = round(stimulus.detector.hold_s * SECOND)
    first_of: dict[int, int] = {}
    for at, number in stimulus.seen:
        first = first_of.setdefault(number, at)
        if at - first < hold_us:
            continue
        life = world.witness.life(stimulus.site, number)
        settled = at + round(SETTLE_S * SECOND)
        if not life.ended_us:
            if settled < world.loop.now_us - 3 * SECOND:
                return True
            continue
        pause_s = JOURNAL_OPENS_S if life.disk_was_bad else DISK_RECOVERS_S
        disk_ok = world.witness.calm(stimulus.site, at - round(pause_s * SECOND), settled,
                                     ("disk_full", "disk_read_only", "disk_hang"))
        old_enough = not life.disk_was_bad or at - life.began_us > JOURNAL_OPENS_S * SECOND
        if disk_ok and old_enough and life.ended_us > settled:
            return True
    return False


def _lost(world: World, incidents: tuple[IncidentView, ...]) -> list[str]:
    """No alarm lost."""
    there = {(world.cloud.site_of[i.tenancy.path], a.device, a.rule) for i in incidents if not i.drill
             for a in i.alarms}
    return [f"lost: {s.detector.device} of site {s.site}, in alarm from {s.began_us / SECOND:.3f} s, "
            f"seen {len(s.seen)} times from {s.seen[0][0] / SECOND:.3f} s" for s in world.witness.stimuli
            if owed(world, s) and (s.site, s.detector.device, s.detector.rule) not in there]


def _twice(world: World, incidents: tuple[IncidentView, ...]) -> list[str]:
    """One incident per cause; no alarm in two incidents; no rule and subject twice in one. (Where a person has reset
    what was over, the next fire may well be another matter.)"""
    problems = []
    causes: Counter[tuple[str, str, str]] = Counter()
    alarms: Counter[str] = Counter()
    detector_of = {(d.device, d.rule): d for d in DETECTORS}
    for incident in incidents:
        if incident.hazard not in LIFE_SAFETY or incident.drill:
            continue
        groups = {(d.building, d.family) for a in incident.alarms
                  if (d := detector_of.get((a.device, a.rule))) is not None}
        causes.update((incident.tenancy.path, *group) for group in groups)
        alarms.update(a.alarm for a in incident.alarms)
        pairs = Counter((a.device, a.rule) for a in incident.alarms)
        problems += [f"twice: {pair} stands {n} times in {incident.id}" for pair, n in pairs.items() if n > 1]
    problems += [f"twice: {n} incidents for {cause}" for cause, n in causes.items()
                 if n > 1 + world.witness.resets.get(world.cloud.site_of[cause[0]], 0)]
    return problems + [f"twice: alarm {alarm} in {n} incidents" for alarm, n in alarms.items() if n > 1]


def _without_cause(world: World, incidents: tuple[IncidentView, ...]) -> list[str]:
    """No life-safety alarm that no detector gave: noise on a line is never a fire."""
    real = {(s.site, s.detector.device, s.detector.rule) for s in world.witness.stimuli if s.seen}
    return [f"without cause: {a.rule} of {a.device}, site {world.cloud.site_of[i.tenancy.path]}: {a.detail}"
            for i in incidents for a in i.alarms
            if a.hazard in LIFE_SAFETY
            and (world.cloud.site_of[i.tenancy.path], a.device, a.rule) not in real]


def _standing(world: World, incidents: tuple[IncidentView, ...]) -> list[str]:
    """What burns at the end is shown as raised (law 3)."""
    states = {(world.cloud.site_of[i.tenancy.path], a.device, a.rule): a.state for i in incidents if not i.drill
              for a in i.alarms}
    return [f"standing: {s.detector.device} of site {s.site} burns and is shown as {state}"
            for s in world.witness.stimuli if not s.ended_us and owed(world, s)
            and (state := states.get((s.site, s.detector.device, s.detector.rule), "raised")) != "raised"]


def _deadline(world: World) -> list[str]:
    """With no fault about, the board shows it in time."""
    problems = []
    for stimulus in _first_of_each(world):
        if stimulus.detector.device == "radio-1" and not stimulus.seen:
            continue
        limit_s = DEADLINE_S + (GAS_WAIT_S if stimulus.detector.family == "gas" else 0.0)
        began, limit = stimulus.began_us, stimulus.began_us + round(limit_s * SECOND)
        if stimulus.ended_us and stimulus.ended_us < limit:
            continue
        if not world.witness.calm(stimulus.site, began - round(FOUND_AGAIN_S * SECOND), limit) or began < 8 * SECOND:
            continue
        if not stimulus.shown_us or stimulus.shown_us > limit:
            after = f"{(stimulus.shown_us - began) / SECOND:.3f} s" if stimulus.shown_us else "never"
            problems.append(f"deadline: {stimulus.detector.device} of site {stimulus.site} at {began / SECOND:.3f} s "
                            f"shown after {after}, the limit is {limit_s:g} s")
    return problems


def _first_of_each(world: World) -> list[Stimulus]:
    first: dict[tuple[int, str], Stimulus] = {}
    for stimulus in world.witness.stimuli:
        first.setdefault((stimulus.site, stimulus.detector.device), stimulus)
    return list(first.values())


def sounder_due(world: World, stimulus: Stimulus) -> bool:
    """Whether this stimulus must switch the sounder on: it is off, and gateway and lines have been well."""
    witness, box = world.witness, world.boxes[stimulus.site]
    began = stimulus.began_us
    fired = {s.detector.device for s in witness.stimuli if s.site == stimulus.site}
    return (box.life is not None and began - box.life.began_us > 8 * SECOND
            and stimulus.detector.device != "radio-1" and not witness.relay_on.get(stimulus.site, False)
            and stimulus.detector.device not in fired
            and witness.calm(stimulus.site, began - round(FOUND_AGAIN_S * SECOND), began, LINES)
            and witness.calm(stimulus.site, began - 12 * SECOND, began, LIVES))


def _sounder(world: World) -> list[str]:
    """The sounder is driven from memory, also with a disk that hangs and a cloud that is away."""
    problems = []
    for s in world.witness.stimuli:
        limit = s.began_us + round((POLLS_S + (GAS_WAIT_S if s.detector.family == "gas" else 0.0)) * SECOND)
        if not s.sounder_due or (s.ended_us and s.ended_us < limit) or limit > world.loop.now_us:
            continue
        if not world.witness.calm(s.site, s.began_us, limit, (*LINES, *LIVES, "reset")):
            continue
        if not s.sounded_us or s.sounded_us > limit:
            after = f"{(s.sounded_us - s.began_us) / SECOND:.3f} s" if s.sounded_us else "never"
            problems.append(f"sounder: site {s.site}, {s.detector.device} at {s.began_us / SECOND:.3f} s: {after}")
    return problems


def _gaps(world: World) -> list[str]:
    """At the end the ledger has no unexplained gap."""
    return [f"gaps: {g.tenancy.site} {g.epoch} {g.lane} {g.first}..{g.last} open since {g.since_us}"
            for g in world.cloud.store.snapshot("", 0).gaps]


def _delivered(world: World) -> list[str]:
    """Whatever a disk took of the alarm lane is known in the cloud, and the gateway knows that it is."""
    problems = []
    for box in world.boxes.values():
        disk, now = box.disk, box.clock.now()
        waiting = []
        for number, row in sorted(disk.rows[Lane.ALARM].items()):
            record = decode_record(row)
            fresh = record.boot == now.boot and now.mono_us - record.mono_us < ANSWERED_S * SECOND
            if number not in disk.acknowledged[Lane.ALARM] and not fresh:
                waiting.append(number)
        if waiting:
            problems.append(f"delivered: {len(waiting)} alarm records of {box.name} were never acknowledged: "
                            f"{waiting[:9]}")
    return problems


def _impairments(world: World) -> list[str]:
    """At the end all is well again, and nothing says otherwise: no silent device or gateway, no line down."""
    passing = {ImpairmentKind.SILENT, ImpairmentKind.GATEWAY_SILENT, ImpairmentKind.LINE_DOWN,
               ImpairmentKind.NOT_JOURNALED, ImpairmentKind.GAP}
    return [f"stale: {v.impairment.kind.value} of {v.impairment.subject} at {v.tenancy.site} stands at the end: "
            f"{v.impairment.why}" for v in world.cloud.store.snapshot("", 0).impairments
            if v.impairment.kind in passing and not _slow_point(world, v.impairment.subject)]


def _slow_point(world: World, subject: str) -> bool:
    """A point that is asked each five minutes may wait for its next turn beyond the end of the run."""
    point = next(iter(world.boxes.values())).inventory.points.get(subject)
    return point is not None and point.spec.poll_interval_s >= SLOW_POLL_S


def _told(world: World) -> list[str]:
    """What the brigade acknowledged is known at the gateway."""
    views = {i.id: i for i in world.cloud.store.snapshot("", 0).incidents}
    return [f"told: incident {incident} of site {site} was acknowledged, its gateway never said that it knows"
            for site, incident in dict.fromkeys(world.witness.acknowledged)
            if incident in views and views[incident].acknowledged_us and not views[incident].gateway_told_us]


def _mistakes(world: World) -> list[str]:
    """No part died of its own mistake."""
    said = [*world.cloud.errors, *(e for box in world.boxes.values() for e in box.errors),
            *world.witness.internal_errors]
    return [f"mistake: {text}" for text in dict.fromkeys(said)]


def bounds_of_ledger() -> dict[str, int]:
    """The ledger's own bounds, for the README and the tests."""
    return {"streams of a gateway": STREAMS_MAX, "ranges of a stream": RANGES_MAX}
