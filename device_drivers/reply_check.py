"""Reply check: does a reply fit the request, to the byte? Nothing that does not fit ever becomes a value.

pymodbus gives a late RTU reply to the next request and takes short replies (DESIGN section 5), so this is the
gate. What it cannot see: a late RTU reply of the very same unit, function and length, which carries no mark
that tells it from the true one; the hold-off after a time-out (`late_reply_max_s`) is what keeps those away.
"""

from __future__ import annotations

from device_model.ports import LineReply, LineRequest

READS_BITS = (1, 2)
READS_REGISTERS = (3, 4)
READ_FILE, WRITE_FILE, READ_WRITE, IDENTIFY = 20, 21, 23, 43
FILE_REFERENCE = 6  # the reference type that every sub-request and sub-reply of FC 20 and 21 names
_ECHO_LENGTH = {5: 4, 6: 4, 15: 4, 16: 4, 22: 6}


def expected_bytes(request: LineRequest) -> int | None:
    """How many payload bytes the reply must have; None for functions whose reply length varies."""
    if request.function in READS_BITS:
        return (request.count + 7) // 8
    if request.function in READS_REGISTERS or request.function == READ_WRITE:
        return 2 * request.count
    if request.function == READ_FILE:
        return 2 + 2 * request.count
    if request.function == WRITE_FILE:
        return 8 + 2 * request.count
    return _ECHO_LENGTH.get(request.function)


def echo_payload(request: LineRequest) -> bytes | None:
    """What a write must be answered with; None for reads."""
    address = request.address.to_bytes(2, "big")
    if request.function == 5:
        return address + (b"\xff\x00" if request.values[0] else b"\x00\x00")
    if request.function == 6:
        return address + request.values[0].to_bytes(2, "big")
    if request.function in (15, 16):
        return address + len(request.values).to_bytes(2, "big")
    if request.function == 22:
        return address + b"".join(value.to_bytes(2, "big") for value in request.values)
    if request.function == WRITE_FILE:
        return file_write_payload(request)
    return None


def file_write_payload(request: LineRequest) -> bytes:
    """The bytes of FC 21 after the function code; the reply repeats them. values: the file, then the registers."""
    file, *words = request.values
    return (bytes((7 + 2 * len(words), FILE_REFERENCE)) + file.to_bytes(2, "big") + request.address.to_bytes(2, "big")
            + len(words).to_bytes(2, "big") + b"".join(word.to_bytes(2, "big") for word in words))


def register_bytes(request: LineRequest, reply: LineReply) -> bytes:
    """The registers or bits of a checked reply, without what FC 20 puts before them."""
    return reply.payload[2:] if request.function == READ_FILE else reply.payload


def reply_fault(request: LineRequest, reply: LineReply) -> str:
    """Why the reply does not fit the request, for people; "" when it fits."""
    if reply.unit != request.unit:
        return f"asked unit {request.unit}, unit {reply.unit} answered"
    if reply.function != request.function:
        return f"asked function {request.function}, got {reply.function}"
    expected = expected_bytes(request)
    if expected is not None and len(reply.payload) != expected:
        return f"asked for {expected} bytes, got {len(reply.payload)}"
    echo = echo_payload(request)
    if echo is not None and echo != reply.payload:
        return f"a write was echoed as {reply.payload.hex()} instead of {echo.hex()}"
    if request.function == READ_FILE and reply.payload[:2] != bytes((1 + 2 * request.count, FILE_REFERENCE)):
        return f"a file record of {request.count} registers was announced as {reply.payload[:2].hex()}"
    if request.function == READ_WRITE:
        return _read_back_fault(request, reply)
    if request.function == IDENTIFY and (len(reply.payload) < 6 or reply.payload[:2] != bytes(request.values[:2])):
        return f"asked for identification {bytes(request.values).hex()}, got {reply.payload[:6].hex()}"
    if request.function in READS_BITS and request.count % 8 and reply.payload[-1] >> request.count % 8:
        return "bits beyond the asked count are set"
    return ""


def _read_back_fault(request: LineRequest, reply: LineReply) -> str:
    """FC 23 writes first and reads then: where both mean the same registers, they must hold what was written."""
    written_at, *words = request.values
    written = b"".join(word.to_bytes(2, "big") for word in words)
    if (written_at, len(words)) != (request.address, request.count) or reply.payload == written:
        return ""
    return f"wrote {written.hex()}, reads back {reply.payload.hex()}"
