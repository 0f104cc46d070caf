"""ONVIF cameras on the local network: the probe of WS-Discovery and what its answers say. Pure: bytes in, values out.

```
 probe ──UDP multicast 239.255.255.250:3702──► cameras          answers ──► ProbeMatch: address, name, scopes
 GetStreamUri and the rest need the camera's password: the rtsp address is asked of its maker's table or its page
```
Answers come from anybody on the network, so that they are read by a small parser of its own: bounded bytes, no
entities, no DTD, no external anything, and nothing that is found is ever opened by itself.
"""

from __future__ import annotations

import re
from xml.parsers import expat

import msgspec

GROUP, PORT = "239.255.255.250", 3702
ANSWER_BYTES_MAX = 64 * 1024  # a UDP datagram is no longer
DEPTH_MAX, ELEMENTS_MAX, TEXT_MAX = 32, 500, 4096
MATCHES_MAX = 16  # in one answer; a camera answers for itself
_DEVICE = "http://www.onvif.org/ver10/network/wsdl"
_URL = re.compile(r"https?://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?(/[^\s@]{0,200})?\Z")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_ID = re.compile(r"[0-9a-f-]{36}\Z")


class ProbeMatch(msgspec.Struct, frozen=True, order=True):
    """A camera that answered. address: host, as the answer's own service address says; urls: of its device service;
    name, hardware, place: as it says of itself."""

    address: str
    urls: tuple[str, ...] = ()
    name: str = ""
    hardware: str = ""
    place: str = ""
    endpoint: str = ""


def probe(message_id: str) -> bytes:
    """The probe for network video transmitters. message_id: a UUID, lower case. Raises ValueError."""
    if not _ID.match(message_id):
        raise ValueError(f"{message_id!r} is no UUID")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"'
        ' xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
        f' xmlns:dn="{_DEVICE}">'
        f"<e:Header><w:MessageID>uuid:{message_id}</w:MessageID>"
        "<w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>"
        "<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>"
        "<e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"
    ).encode()


class _Refused(Exception):
    """More than any camera says, or what no camera needs."""


class _Reader:
    """Texts of the elements that matter, by local name, match by match."""

    def __init__(self) -> None:
        self.matches: list[dict[str, str]] = []
        self._path: list[str] = []
        self._text: list[str] = []
        self._count = self._length = 0

    def start(self, name: str, _: object) -> None:
        self._count += 1
        local = name.rpartition(":")[2]
        self._path.append(local)
        self._text, self._length = [], 0
        if len(self._path) > DEPTH_MAX or self._count > ELEMENTS_MAX or len(self.matches) > MATCHES_MAX:
            raise _Refused
        if local == "ProbeMatch":
            self.matches.append({})

    def text(self, text: str) -> None:
        self._length += len(text)
        if self._length > TEXT_MAX:
            raise _Refused
        self._text.append(text)

    def end(self, name: str) -> None:
        local = name.rpartition(":")[2]
        if self.matches and local in ("XAddrs", "Scopes", "Address") and "ProbeMatch" in self._path:
            self.matches[-1].setdefault(local, "".join(self._text).strip())
        self._path.pop()
        self._text, self._length = [], 0


def parse_answer(octets: bytes) -> tuple[ProbeMatch, ...]:
    """The cameras of an answer; none for what is no such answer. Never raises."""
    if len(octets) > ANSWER_BYTES_MAX or b"<!" in octets.replace(b"<!--", b""):
        return ()  # a document type, entities, CDATA: no camera needs them
    parser, reader = expat.ParserCreate("UTF-8"), _Reader()
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(octets, True)
    except (expat.ExpatError, _Refused, ValueError):
        return ()
    found = (_match(said) for said in reader.matches[:MATCHES_MAX])
    return tuple(match for match in found if match is not None)


def _match(said: dict[str, str]) -> ProbeMatch | None:
    urls = tuple(url for url in said.get("XAddrs", "").split()[:8] if _sound(url))
    if not urls:
        return None
    scopes = said.get("Scopes", "").split()[:40]
    return ProbeMatch(
        _host(urls[0]), urls, _scope(scopes, "name"), _scope(scopes, "hardware"),
        _scope(scopes, "location"), said.get("Address", "")[:100])


def _sound(url: str) -> bool:
    return _URL.match(url) is not None


def _host(url: str) -> str:
    found = _URL.match(url)
    return found[1].strip("[]") if found is not None else ""


def _scope(scopes: list[str], kind: str) -> str:
    """What stands behind onvif://www.onvif.org/<kind>/, without control characters."""
    mark = f"onvif://www.onvif.org/{kind}/"
    raw = next((scope[len(mark):] for scope in scopes if scope.startswith(mark)), "")
    # Each %XX is a byte of UTF-8; what stands between is taken as it is.
    text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), raw.encode().decode("latin-1"))
    text = text.encode("latin-1").decode("utf-8", "replace")
    return "".join(c for c in text if c.isprintable())[:80]
