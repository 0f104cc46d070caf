"""LineFile: a recorded line, byte for byte, with the time of every piece. Pure: text in, text out.

    {"tocsin_line": 1, "kind": "tcp", "about": "127.0.0.1:502", "began_wall_us": 1767225600000000}    head, once
    {"t_us": 0, "c": 0, "event": "open"}                                     a connection begins (or "close": ends)
    {"t_us": 1834, "c": 0, "from": "client", "hex": "000100000006010300000002"}      a piece of bytes
    {"t_us": 9120, "topic": "zigbee2mqtt/hall", "hex": "7b…7d", "qos": 1, "retain": false}      an MQTT message

One JSON object a line. t_us: µs since the recording began, by a clock that never jumps. c: number of the connection.
from: who spoke: "client" (who connected; on serial the master's side), "server", or "bus" (a tap that cannot tell).
kind: tcp, udp, serial or mqtt. A reader ignores keys that it does not know; a torn last line is left out, counted.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from device_model.errors import ConfigError, Finding

FORMAT = 1
PIECES_MAX = 5_000_000  # a day of a busy line; a longer file is to be cut


class LineHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first line. baud: of a serial line, 0 for none."""

    tocsin_line: int
    kind: str
    about: str = ""
    began_wall_us: int = 0
    baud: int = 0


class Piece(msgspec.Struct, frozen=True, omit_defaults=True, rename={"speaker": "from"}):
    """One line: bytes, an event, or a message."""

    t_us: int
    c: int = 0
    speaker: str = ""
    hex: str = ""
    event: str = ""
    topic: str = ""
    qos: int = 0
    retain: bool = False

    @property
    def octets(self) -> bytes:
        """The bytes."""
        return bytes.fromhex(self.hex)


class LineFile(msgspec.Struct, frozen=True):
    """A whole recording. torn: 1 where the last line was cut off."""

    head: LineHead
    pieces: tuple[Piece, ...]
    torn: int = 0

    def connections(self) -> list[int]:
        """Numbers of the connections that bear bytes."""
        return sorted({piece.c for piece in self.pieces if piece.hex and not piece.topic})


_PIECE = msgspec.json.Decoder(Piece)
_ENCODE = msgspec.json.Encoder()


def parse_line_file(text: str, file: str) -> LineFile:
    """Read a recording. Raises ConfigError with file and line."""
    lines = text.splitlines()
    if not lines:
        raise _no(file, 1, "the file is empty")
    try:
        head = msgspec.json.decode(lines[0], type=LineHead)
    except msgspec.DecodeError as error:
        raise _no(file, 1, f"no head of a recorded line ({error})") from error
    if head.tocsin_line != FORMAT:
        raise _no(file, 1, f"format {head.tocsin_line}, this program reads {FORMAT}")
    if len(lines) > PIECES_MAX:
        raise _no(file, len(lines), f"more than {PIECES_MAX} pieces")
    pieces: list[Piece] = []
    for number, line in enumerate(lines[1:], 2):
        try:
            piece = _PIECE.decode(line)
            bytes.fromhex(piece.hex)
        except (msgspec.DecodeError, ValueError) as error:
            if number == len(lines) and not text.endswith("\n"):
                return LineFile(head, tuple(pieces), torn=1)  # the recorder was killed in the middle of it
            raise _no(file, number, f"no piece of a recorded line ({error})") from error
        if pieces and piece.t_us < pieces[-1].t_us:
            raise _no(file, number, "earlier than the piece before it")
        pieces.append(piece)
    return LineFile(head, tuple(pieces))


def line_text(item: LineHead | Piece) -> str:
    """One line of the file."""
    return _ENCODE.encode(item).decode() + "\n"


def file_text(head: LineHead, pieces: Iterable[Piece]) -> str:
    """A whole file."""
    return line_text(head) + "".join(map(line_text, pieces))


def _no(file: str, line: int, what: str) -> ConfigError:
    return ConfigError([Finding(file, line, 1, what, "record it with `tocsin sim record`; the format: README.md")])
