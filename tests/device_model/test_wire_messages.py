"""Messages and topics: what is written is read back; any other bytes are a ValueError, nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity
from device_model.command import Command, CommandKind, CommandOutcome, CommandResult
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind
from device_model.messages import (
    BATCH_BYTES_MAX,
    TOKEN,
    AlarmRecord,
    Batch,
    BatchAck,
    CommandResultRecord,
    Down,
    GatewayAddress,
    HeartbeatRecord,
    ImpairmentRecord,
    Lane,
    LossRecord,
    OutputRecord,
    ReadingsRecord,
    Record,
    decode_ack,
    decode_batch,
    decode_down,
    decode_record,
    encode,
    is_memory_epoch,
    parse_topic,
)
from device_model.reading import Quality, Reading, Reason
from device_model.site import Tenancy

WORDS = st.text(max_size=12)
TIMES = st.integers(0, 2**53)
TOKENS = st.from_regex(TOKEN, fullmatch=True).filter(lambda token: "\n" not in token)
VALUES = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
READINGS = st.builds(
    lambda point, value, times, sequence: Reading(
        point, value, "1", Quality.BAD if value is None else Quality.GOOD,
        Reason.SILENT if value is None else Reason.NONE, *times, "b", "s", "e", sequence),
    WORDS, st.none() | VALUES, st.tuples(TIMES, TIMES, TIMES), TIMES)
TRANSITIONS = st.builds(
    AlarmTransition, WORDS, st.builds(AlarmKey, WORDS, WORDS), st.sampled_from(AlarmState),
    st.sampled_from(AlarmState), st.sampled_from(Hazard), st.sampled_from(Severity), TIMES, TIMES,
    points=st.lists(WORDS, max_size=2).map(tuple),
    test=st.booleans(), journaled=st.booleans(), late=st.booleans())
RANGES = st.lists(st.tuples(TIMES, TIMES), max_size=3).map(tuple)
LANES = st.sampled_from(Lane)
BODIES = st.one_of(
    st.builds(ReadingsRecord, st.lists(READINGS, max_size=3).map(tuple)),
    st.builds(AlarmRecord, TRANSITIONS, st.lists(READINGS, max_size=2).map(tuple)),
    st.builds(ImpairmentRecord, st.builds(
        ImpairmentChange, st.builds(Impairment, st.sampled_from(ImpairmentKind), WORDS, TIMES), TIMES)),
    st.builds(CommandResultRecord, st.builds(
        CommandResult, WORDS, st.sampled_from(CommandKind), WORDS, st.sampled_from(CommandOutcome), TIMES)),
    st.builds(OutputRecord, WORDS, st.booleans(), WORDS, TIMES),
    st.builds(HeartbeatRecord, TIMES, st.dictionaries(WORDS, st.tuples(WORDS, TIMES), max_size=2)),
    st.builds(LossRecord, WORDS, LANES, RANGES, WORDS, TIMES),
)
RECORDS = st.builds(Record, TIMES, TIMES, TIMES, WORDS, BODIES)


def ascending(records: list[Record]) -> tuple[Record, ...]:
    return tuple(msgspec.structs.replace(r, sequence=i) for i, r in enumerate(records, 1))


BATCHES = st.builds(
    Batch, st.just(1), WORDS, WORDS, LANES, st.lists(RECORDS, max_size=4).map(ascending), st.booleans())
DECODERS = [decode_batch, decode_ack, decode_down, decode_record]


@given(BATCHES)
def test_batches_survive(batch: Batch) -> None:
    assert decode_batch(encode(batch)) == batch


@given(RECORDS)
def test_records_survive(record: Record) -> None:
    assert decode_record(encode(record)) == record


@given(st.builds(BatchAck, st.just(1), WORDS, LANES, RANGES))
def test_acknowledgements_survive(ack: BatchAck) -> None:
    assert decode_ack(encode(ack)) == ack


@given(st.builds(Command, WORDS, st.sampled_from(CommandKind), WORDS, WORDS, WORDS, TIMES, TIMES,
                 st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)))
def test_commands_survive(command: Command) -> None:
    assert decode_down(encode(Down(1, command))) == Down(1, command)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_error(payload: bytes) -> None:
    for decode in DECODERS:
        with pytest.raises(ValueError):
            decode(payload)


@given(BATCHES, st.data())
def test_damaged_batches_are_a_batch_or_a_value_error(batch: Batch, data: st.DataObject) -> None:
    payload = bytearray(encode(batch))
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(payload) - 1))
        payload[index] = data.draw(st.integers(0, 255))
    cut = bytes(payload[: data.draw(st.integers(0, len(payload)))])
    for octets in (bytes(payload), cut):
        try:
            assert decode_batch(octets).v == 1
        except ValueError as error:
            assert str(error)


@pytest.mark.parametrize("depth", [1000, 100_000])
def test_deep_nesting_is_a_value_error(depth: int) -> None:
    for decode in DECODERS:
        for octets in (b"[" * depth, b'{"a":' * depth, b'{"v":1,"records":' + b"[" * depth):
            with pytest.raises(ValueError):
                decode(octets)


def test_foreign_versions_wrong_order_and_size_are_refused() -> None:
    record = Record(1, 0, 0, "b", ReadingsRecord(()))
    with pytest.raises(ValueError, match="version 2"):
        decode_batch(encode(Batch(2, "g", "e", Lane.ALARM, (record,))))
    with pytest.raises(ValueError, match="ascending"):
        decode_batch(encode(Batch(1, "g", "e", Lane.ALARM, (record, record))))
    with pytest.raises(ValueError, match="exceeds"):
        decode_batch(b" " * (BATCH_BYTES_MAX + 1))
    with pytest.raises(ValueError):  # law 7: a failed read is never a number, not on the wire either
        decode_batch(encode(Batch(1, "g", "e", Lane.TELEMETRY, (record,))).replace(
            b'"readings":[]', b'"readings":[{"point":"a.b","value":1,"unit":"1","quality":"bad"}]'))
    for decode, message in (
        (decode_ack, BatchAck(2, "e", Lane.ALARM, ())),
        (decode_down, Down(2, Command("c", CommandKind.RESTORE, "t", "w", "y", 0, 0))),
    ):
        with pytest.raises(ValueError, match="version 2"):
            decode(encode(message))


@given(TOKENS, TOKENS, TOKENS, TOKENS, TOKENS, LANES)
def test_topics_and_names_survive(city: str, district: str, street: str, site: str, gateway: str, lane: Lane) -> None:
    address = GatewayAddress(Tenancy(city, district, street, site), gateway)
    assert parse_topic(address.up(lane)) == (address, "up", lane)
    assert parse_topic(address.down("ack")) == (address, "down", "ack")
    assert GatewayAddress.of_common_name(address.common_name) == address
    assert Tenancy.of(address.tenancy.path) == address.tenancy


@given(st.text(max_size=60) | st.lists(WORDS, min_size=9, max_size=9).map("/".join))
def test_any_other_topic_is_a_value_error(topic: str) -> None:
    with pytest.raises(ValueError):
        parse_topic(topic)


def test_topics_of_other_versions_and_directions_say_what_is_wrong() -> None:
    good = GatewayAddress(Tenancy("a", "b", "c", "d"), "e").up(Lane.ALARM)
    for wrong, what in ((good.replace("v1", "v2"), "version v2"), (good.replace("/up/", "/side/"), "neither"),
                        (good.replace("/a/", "/A/"), "not city"), (good + "/x", "is not tocsin")):
        with pytest.raises(ValueError, match=what):
            parse_topic(wrong)
    assert is_memory_epoch("m-17") and not is_memory_epoch("17")
