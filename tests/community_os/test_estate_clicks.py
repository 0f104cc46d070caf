"""Maintenance from afar and changes of the duty rota: refused by law, carried on, told to whom it concerns."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from community_os.daily_use import daily_use
from community_os.envelopes import MaintainEnvelope, RotaEnvelope, UpEnvelope, decode_envelope, encode_envelope
from community_os.site_worker import Effects, SiteWorker
from community_os.store_changes import AuditRow, NoticeRow, OutcomeRow
from device_model.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from device_model.command import CommandKind, CommandOutcome, CommandResult
from device_model.messages import CommandResultRecord
from device_model.read_models import ActionOutcome
from device_model.series import Rollup
from rules_engine.duty_rota import DutyBook
from tests.community_os.site_messages import PATH, rows, up
from tests.community_os.test_notices import FILES
from tests.rules_engine.incident_house import INVENTORY, T0

DEVICE = next(iter(INVENTORY.devices))
ASK = MaintainEnvelope(PATH, (DEVICE,), "Chen", "new cable", "r1", T0, T0 + 2 * HOUR_US, "guard walks hourly")


def site() -> SiteWorker:
    return SiteWorker(INVENTORY, {}, None, T0, FILES)


def outcome(effects: Effects) -> ActionOutcome:
    (row,) = rows(effects, OutcomeRow)
    return row.outcome  # type: ignore[no-any-return]  # a row of that kind


def answer(command: str, kind: CommandKind, result: CommandOutcome, at_s: float, detail: str = "") -> UpEnvelope:
    said = CommandResult(command, kind, DEVICE, result, T0 + round(at_s * SECOND_US), "Chen", detail)
    return up(CommandResultRecord(said), at_s=at_s)


# --- maintenance ------------------------------------------------------------------------------------------------


def test_a_device_goes_out_when_the_gateway_says_so_and_the_wish_survives_a_restart() -> None:
    assert decode_envelope(encode_envelope(ASK)) == ASK
    one = site()
    effects = one.step(ASK)
    assert outcome(effects).done and {row.what for row in rows(effects, AuditRow)} == {"maintenance_asked"}
    (sent,) = [send.command for send in effects.commands]
    assert sent.kind is CommandKind.ISOLATE and sent.target == DEVICE and sent.value == 7200.0
    assert sent.compensating_measure == "guard walks hourly" and sent.who == "Chen" and not sent.on_site
    assert [send.command for send in one.tick(T0 + 6 * SECOND_US).commands] == [sent], "again until it answers"
    other = site()
    other.resume(one.checkpoint())
    assert [send.command for send in other.tick(T0 + 12 * SECOND_US).commands] == [sent]
    other.step(answer(sent.id, sent.kind, CommandOutcome.APPLIED, 13))
    assert not other.tick(T0 + 30 * SECOND_US).commands
    back = other.step(MaintainEnvelope(PATH, (DEVICE,), "Chen", "done", "r2", T0 + HOUR_US))
    assert [send.command.kind for send in back.commands] == [CommandKind.RESTORE]


@pytest.mark.parametrize(("asked", "law", "word"), [
    (msgspec.structs.replace(ASK, measure=" "), 3, "law of safety 3"),
    (msgspec.structs.replace(ASK, why=""), 0, "reason"),
    (msgspec.structs.replace(ASK, devices=("nobody",)), 0, "no such device"),
    (msgspec.structs.replace(ASK, devices=()), 0, "name 1 to"),
    (msgspec.structs.replace(ASK, until_us=T0 + 4 * DAY_US), 2, "72 hours"),
    (msgspec.structs.replace(ASK, until_us=T0 - HOUR_US), 2, "72 hours"),
])
def test_maintenance_without_measure_reason_or_end_is_refused(asked: MaintainEnvelope, law: int, word: str) -> None:
    effects = site().step(asked)
    assert not outcome(effects).done and outcome(effects).law == law and word in outcome(effects).refusal
    assert not effects.commands


def test_a_refusal_of_the_gateway_and_its_silence_are_kept_to_be_shown() -> None:
    one = site()
    (sent,) = [send.command for send in one.step(ASK).commands]
    one.step(answer(sent.id, sent.kind, CommandOutcome.REFUSED, 3, detail="law of safety 5"))
    kept = json.loads(one.checkpoint())["maintenance"][DEVICE]
    assert kept["refused"] == "law of safety 5" and not one.tick(T0 + 20 * SECOND_US).commands
    one.tick(T0 + 2 * HOUR_US)
    assert DEVICE not in json.loads(one.checkpoint())["maintenance"]
    silent = site()
    silent.step(ASK)
    silent.tick(T0 + 11 * MINUTE_US)
    assert "did not answer" in json.loads(silent.checkpoint())["maintenance"][DEVICE]["refused"]


# --- the rota ---------------------------------------------------------------------------------------------------


def shift_of(at_us: int) -> tuple[str, str, str, str]:
    """(day, shift, who has it, who has not)"""
    assert FILES.duty is not None
    shift = DutyBook(FILES.duty.plan).shift_at("property-duty", at_us)
    other = next(person for person in FILES.duty.plan.people if person not in shift.people)
    return shift.day, shift.name, shift.people[0], other


def test_a_swap_tells_both_is_audited_and_changes_who_is_called() -> None:
    day, shift, leaving, coming = shift_of(T0)
    one = site()
    swap = RotaEnvelope(PATH, "property-duty", coming, "Chen", "ill", "r1", T0, day, shift, leaving)
    effects = one.step(swap)
    assert outcome(effects).done and [row.what for row in rows(effects, AuditRow)] == ["duty_swap"]
    told = [json.loads(row.body) for row in rows(effects, NoticeRow)]
    assert told and told[0]["type"] == "tocsin.rota.v1" and told[0]["data"]["why"] == "ill"
    again = one.step(msgspec.structs.replace(swap, request="r2"))
    assert not outcome(again).done and "does not have that shift" in outcome(again).refusal
    taken = one.step(RotaEnvelope(PATH, "property-duty", coming, "Wang", "keys in the safe", "r3", T0 + MINUTE_US))
    assert outcome(taken).done and [row.what for row in rows(taken, AuditRow)] == ["duty_take_over"]
    other = one.step(RotaEnvelope(PATH, "property-duty", leaving, "Li", "", "r4", T0 + MINUTE_US))
    assert not outcome(other).done
    bare = SiteWorker(INVENTORY, {}, None, T0).step(swap)
    assert "no duty file" in outcome(bare).refusal


# --- meters -----------------------------------------------------------------------------------------------------


def hour(at_us: int, last: float | None) -> Rollup:
    return Rollup("m.energy", "energy", "kW.h", at_us, 1, 0, last, last, last, last)


def test_days_are_local_a_gap_is_not_zero_and_a_changed_meter_never_gave_energy_back() -> None:
    from datetime import UTC, date, datetime

    start = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * SECOND_US
    counts = {0: 100.0, 17: 110.0, 41: 125.0, 89: 160.0, 100: 3.0, 130: 8.0}  # hours after midnight UTC
    days = daily_use([hour(start + h * HOUR_US, v) for h, v in counts.items()], "Asia/Shanghai", date(2026, 11, 6), 6)
    # 17 h UTC is one o'clock of the next local day.
    assert [(day.day[-2:], day.use, day.whole) for day in days] == [
        ("01", None, False), ("02", 10.0, True), ("03", 15.0, True), ("04", None, True), ("05", None, False),
        ("06", 5.0, True)]


@given(st.lists(st.tuples(st.integers(0, 24 * 20), st.floats(0, 1e6)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_no_day_is_negative(counts: list[tuple[int, float]]) -> None:
    from datetime import date

    hours = [hour(1_790_000_000_000_000 + h * HOUR_US, value) for h, value in sorted(dict(counts).items())]
    days = daily_use(hours, "Asia/Shanghai", date(2026, 10, 10), 20)
    assert len(days) == 20 and all(day.use is None or day.use >= 0 for day in days)
