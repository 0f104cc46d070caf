"""Files, read-and-write in one, several at once: the bytes of the standard's own examples, and what is refused."""

from __future__ import annotations

import pytest

from device_drivers.fingerprint import Identity, identity_goes_on, identity_request, parse_identity
from device_drivers.line_schedule import BlockAnswered, LineSchedule, Transaction, UnitTraits
from device_drivers.links import request_payload
from device_drivers.register_driver import RegisterLine, check_profile, write_request
from device_drivers.register_plan import plan_blocks
from device_drivers.reply_check import register_bytes, reply_fault
from device_model.errors import ConfigError, LocalFault
from device_model.ports import LineReply, LineRequest
from device_model.profile import RegisterType, Table
from device_model.profile_file import parse_profile
from tests.device_drivers.rig import START, TCP, entry, point, profile

# MODBUS Application Protocol V1.1b3, examples of 6.14 (its first sub-request), 6.15 and 6.17.
READ_FILE = LineRequest(1, 20, 1, 2, (4,))
WRITE_FILE = LineRequest(1, 21, 7, 3, (4, 0x06AF, 0x04BE, 0x100D))
READ_WRITE = LineRequest(1, 23, 3, 6, (14, 0xFF, 0xFF, 0xFF))


@pytest.mark.parametrize(("request_", "sent", "reply"), [
    (READ_FILE, "07 06 0004 0001 0002", "05 06 0dfe 0020"),
    (WRITE_FILE, "0d 06 0004 0007 0003 06af 04be 100d", "0d 06 0004 0007 0003 06af 04be 100d"),
    (READ_WRITE, "0003 0006 000e 0003 06 00ff 00ff 00ff", "00fe 0acd 0001 0003 000d 00ff"),
    (LineRequest(1, 15, 19, 10, (1, 0, 1, 1, 0, 0, 1, 1, 1, 0)), "0013 000a 02 cd01", "0013 000a"),
])
def test_the_examples_of_the_standard(request_: LineRequest, sent: str, reply: str) -> None:
    assert request_payload(request_) == bytes.fromhex(sent)
    assert reply_fault(request_, LineReply(1, request_.function, bytes.fromhex(reply))) == ""


@pytest.mark.parametrize(("request_", "reply", "fault"), [
    (READ_FILE, "05 07 0dfe 0020", "announced"),  # another reference type
    (READ_FILE, "03 06 0dfe 0020", "announced"),  # says one register, holds two
    (READ_FILE, "03 06 0dfe", "asked for 6 bytes"),
    (READ_FILE, "05 06 0dfe 0020 05 06 33cd 0040", "asked for 6 bytes"),  # a second record that nobody asked for
    (WRITE_FILE, "0d 06 0004 0007 0003 06af 04be 100e", "echoed"),
    (WRITE_FILE, "0d 06 0003 0007 0003 06af 04be 100d", "echoed"),
    (LineRequest(1, 23, 14, 2, (14, 1, 2)), "0001 0003", "reads back"),
    (LineRequest(1, 23, 14, 2, (14, 1, 2)), "0001", "asked for 4 bytes"),
    (identity_request(1), "0e 02 01 00 00 00", "identification"),
    (identity_request(1), "0e 01", "identification"),
])
def test_what_does_not_fit(request_: LineRequest, reply: str, fault: str) -> None:
    assert fault in reply_fault(request_, LineReply(1, request_.function, bytes.fromhex(reply)))


def test_records_of_a_file_are_merged_within_it_and_never_with_another() -> None:
    of = profile(point("a", 1, table=Table.FILE, file=4, type=RegisterType.U32),
                 point("b", 5, table=Table.FILE, file=4), point("c", 5, table=Table.FILE, file=5),
                 point("far", 200, table=Table.FILE, file=4), point("plain", 1))
    requests = [block.request(9) for block in plan_blocks(of)]
    assert requests == [LineRequest(9, 3, 1, 1), LineRequest(9, 20, 1, 5, (4,)), LineRequest(9, 20, 200, 1, (4,)),
                        LineRequest(9, 20, 5, 1, (5,))]


def test_the_longest_file_read_fits_its_reply() -> None:
    of = profile(*(point(f"p{a}", a, table=Table.FILE, file=1) for a in range(200)))
    assert [block.count for block in plan_blocks(of)] == [121, 79]


def test_the_head_of_a_file_reply_is_no_register() -> None:
    of = profile(point("a", 1, table=Table.FILE, file=4, type=RegisterType.U32))
    schedule = LineSchedule([(UnitTraits("d", 1), plan_blocks(of))], serial=False, start_us=START.mono_us,
                            jitter=lambda: 0.5)
    step = schedule.next(START)
    assert isinstance(step, Transaction)
    reply = LineReply(1, 20, bytes.fromhex("05060dfe0020"))
    answered = [e for e in schedule.done(step, reply, START).events if isinstance(e, BlockAnswered)]
    assert [e.payload for e in answered] == [bytes.fromhex("0dfe0020")]
    assert register_bytes(LineRequest(1, 3, 0, 1), LineReply(1, 3, b"\0\1")) == b"\0\1"


WRITABLE = (point("one", 7, writable=True), point("two", 8, type=RegisterType.U32, writable=True),
            point("coil", 3, quantity="relay", table=Table.COIL, type=RegisterType.BIT, writable=True),
            point("bit", 9, quantity="relay", type=RegisterType.BIT, bit=2, writable=True),
            point("record", 2, table=Table.FILE, file=6, writable=True),
            point("flag", 3, quantity="relay", table=Table.FILE, file=6, type=RegisterType.BIT, bit=1, writable=True))


@pytest.mark.parametrize(("by", "functions"), [
    (0, {"one": 6, "two": 16, "coil": 5, "bit": 22, "record": 21}),
    (16, {"one": 16, "two": 16, "coil": 15, "bit": 22, "record": 21}),
    (23, {"one": 23, "two": 23, "coil": 5, "bit": 22, "record": 21}),
])
def test_writes_go_by_the_function_that_the_profile_says(by: int, functions: dict[str, int]) -> None:
    of = profile(*WRITABLE, write_function=by)
    assert check_profile(of) == ()
    for name, function in functions.items():
        request = write_request(entry("d", of, 5), name, 1)
        assert (request.unit, request.function) == (5, function)
        assert request_payload(request)
    assert write_request(entry("d", of), "record", 9) == LineRequest(1, 21, 2, 1, (6, 9))
    with pytest.raises(LocalFault, match="part of a register"):
        write_request(entry("d", of), "flag", True)


@pytest.mark.parametrize("function", [5, 6, 15, 16, 21, 22, 23, 8, 99])
def test_a_scan_may_not_write_by_any_function(function: int) -> None:
    line = RegisterLine(TCP, [entry("d", profile(point("a")))], START, lambda: 0.5)
    with pytest.raises(LocalFault, match="law of safety 8"):
        line.ask(LineRequest(1, function, 0, 1, (0, 1)), 1.0)


def reply_with(first: int, more: int, following: int, *texts: bytes) -> bytes:
    head = bytes((14, 1, 1, more, following, len(texts)))
    return head + b"".join(bytes((first + i, len(text))) + text for i, text in enumerate(texts))


@pytest.mark.parametrize(("reply", "following"), [
    (reply_with(0, 0, 0, b"A", b"B", b"C"), 0),
    (reply_with(0, 0xFF, 1, b"A"), 1),
    (reply_with(1, 0xFF, 2, b"B"), 2),
    (reply_with(1, 0xFF, 1, b"B"), 0),  # a device that would be asked the same for ever
    (reply_with(0, 0xFF, 200, b"A"), 0),  # beyond the basic objects
    (reply_with(0, 0xFF, 0), 0),
    (b"\x0e\x01", 0),
])
def test_identification_goes_on_only_where_something_new_can_come(reply: bytes, following: int) -> None:
    assert identity_goes_on(reply) == following


def test_parts_of_an_identity_join() -> None:
    parts = [parse_identity(reply_with(i, 0, 0, text)) for i, text in enumerate((b"ACM", b"M1", b"2.0"))]
    assert Identity().joined(parts[0]).joined(parts[1]).joined(parts[2]) == Identity("ACM", "M1", "2.0")


HEAD = """
profile: p
version: 1
maker: m
model: m
en: e
zh: z
class: power_meter
certainty: A
source: here
"""


@pytest.mark.parametrize(("traits", "keys", "fault"), [
    ("{}", "table: file, file: 4, address: 9999", ""),
    ("{write_function: 23}", "address: 1", ""),
    ("{}", "table: file, address: 1", "file 0 does not go"),
    ("{}", "file: 4, address: 1", "file 4 does not go"),
    ("{}", "table: file, file: 70000, address: 1", "does not go"),
    ("{}", "table: file, file: 4, address: 9999, type: u32", "record 10000"),
    ("{write_function: 6}", "address: 1", "is not 0, 16 or 23"),
])
def test_profiles_say_files_and_functions(traits: str, keys: str, fault: str) -> None:
    text = f"{HEAD}modbus: {traits}\npoints:\n  a: {{quantity: count, {keys}}}\n"
    if not fault:
        assert parse_profile(text, "p.yaml").points[0].register is not None
        return
    with pytest.raises(ConfigError, match=fault):
        parse_profile(text, "p.yaml")
