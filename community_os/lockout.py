"""Lock-out: who guesses has to wait, longer each time, by name and by address (pure: `now` is passed in).

    wrong tries of a name   1 2 3 4 │ 5: 60 s │ 6: 120 s │ … │ at most 15 min        forgotten after a day
    of an address           1 … 19  │ 20: 60 s │ 21: 120 s …   (an office has one address for many people)

Nobody may keep an honest person out. An address from which a name got in lately counts by itself for that name:
neither strangers who guess at the name, nor who guesses at others from the same office, make its owner wait. A clock
that was set back makes nobody wait longer than the longest wait. Counts are kept where the program says
(`lockout_book.py`), so that a restart does not give a guesser fresh tries.
"""

from __future__ import annotations

import ipaddress
from collections.abc import MutableMapping

NAME_TRIES = 5
ADDRESS_TRIES = 20
FIRST_WAIT_S = 60.0
WAIT_MAX_S = 15 * 60.0
FORGET_S = 24 * 3600.0
KNOWN_S = 30 * 86400.0  # how long an address is known for a name: longer than anybody's leave
KEYS_MAX = 5000  # beyond that the oldest is forgotten: the store is bounded whoever asks

Tries = MutableMapping[tuple[str, str], tuple[int, float]]  # (count, time of the last in real seconds), oldest first


class Lockout:
    """Counts of wrong tries."""

    def __init__(self, wrong: Tries | None = None, known: Tries | None = None) -> None:
        self._wrong: Tries = {} if wrong is None else wrong
        self._known: Tries = {} if known is None else known

    def wait_s(self, name: str, address: str, now_s: float) -> float:
        """How long this one has to wait before a try is even looked at; 0: not at all."""
        address = network_of(address)
        own = self._wait(self._name_key(name, address, now_s), NAME_TRIES, now_s)
        if self._is_known(name, address, now_s):
            return own
        return max(own, self._wait(("from", address), ADDRESS_TRIES, now_s))

    def wrong(self, name: str, address: str, now_s: float) -> None:
        """A try failed."""
        address = network_of(address)
        for key in (self._name_key(name, address, now_s), ("from", address)):
            count, last_s = self._wrong.pop(key, (0, now_s))
            self._wrong[key] = (1 if now_s - last_s > FORGET_S else count + 1, now_s)
        _bound(self._wrong)

    def right(self, name: str, address: str, now_s: float) -> None:
        """A try succeeded: the name is free again, and this address is known for it. The address's own count stays:
        who guesses at many names may own one of them."""
        address = network_of(address)
        self._wrong.pop(("name", name), None)
        self._wrong.pop((f"known {address}", name), None)
        self._known.pop((address, name), None)
        self._known[(address, name)] = (1, now_s)
        _bound(self._known)

    def free(self, name: str) -> None:
        """An administrator let somebody in anew: nothing that was tried before counts."""
        self._wrong.pop(("name", name), None)
        for key in [key for key in self._wrong if key[1] == name and key[0].startswith("known ")]:
            self._wrong.pop(key, None)

    def _is_known(self, name: str, address: str, now_s: float) -> bool:
        found = self._known.get((address, name)) if address else None
        return found is not None and now_s - found[1] < KNOWN_S

    def _name_key(self, name: str, address: str, now_s: float) -> tuple[str, str]:
        return (f"known {address}", name) if self._is_known(name, address, now_s) else ("name", name)

    def _wait(self, key: tuple[str, str], tries: int, now_s: float) -> float:
        if key == ("from", ""):
            return 0.0
        count, last_s = self._wrong.get(key, (0, 0.0))
        if count < tries:
            return 0.0
        wait_s = min(WAIT_MAX_S, FIRST_WAIT_S * 2.0 ** min(count - tries, 10))
        return min(wait_s, max(0.0, last_s + wait_s - now_s))


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 its /64, which one subscriber has whole."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:80]
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def _bound(tries: Tries) -> None:
    while len(tries) > KEYS_MAX:
        tries.pop(next(iter(tries)), None)
