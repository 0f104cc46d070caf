"""~ `tocsin vision discover`: asks the local network for ONVIF cameras, listens some seconds, prints what answered.

One multicast datagram, sent twice; nothing else is ever sent to what answers.
"""

from __future__ import annotations

import select
import socket
import time
import uuid

from device_drivers.vision.onvif_probe import ANSWER_BYTES_MAX, GROUP, PORT, ProbeMatch, parse_answer, probe
from device_model.errors import LocalFault

ANSWERS_MAX = 2_000  # datagrams read in one search


def discover(
    for_s: float = 3.0, *, interface: str = "", to: tuple[str, int] = (GROUP, PORT)
) -> tuple[ProbeMatch, ...]:
    """Every camera once, by address. interface: the machine's own address on the cameras' network; "" lets the
    machine choose. Raises LocalFault where nothing can be sent."""
    question = probe(str(uuid.uuid4()))
    found: dict[tuple[str, str], ProbeMatch] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        try:
            if interface:
                wire.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
            wire.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            wire.bind((interface, 0))
            for _ in range(2):  # a datagram may be lost
                wire.sendto(question, to)
        except OSError as error:
            raise LocalFault(f"the network cannot be asked: {error.strerror}; give --interface ADDRESS") from error
        until = time.monotonic() + for_s
        for _ in range(ANSWERS_MAX):
            left = until - time.monotonic()
            if left <= 0 or not select.select([wire], [], [], left)[0]:
                break
            octets, _sender = wire.recvfrom(ANSWER_BYTES_MAX + 1)
            for match in parse_answer(octets):
                found[match.endpoint or match.address, match.address] = match
    return tuple(sorted(found.values()))
