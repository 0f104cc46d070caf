"""Lock-out: who guesses has to wait, longer each time, by name and by address (pure: `now` is passed in).

    wrong tries of a name   1 2 3 4 │ 5: 60 s │ 6: 120 s │ … │ at most 15 min        forgotten after a day
    of an address           1 … 19  │ 20: 60 s │ 21: 120 s …   (an office has one address for many people)

A stranger who guesses at a name must not keep its owner out: an address from which that name got in lately counts by
itself. Counts live in memory; a restart forgets them, and only the operator restarts.
"""

from __future__ import annotations

NAME_TRIES = 5
ADDRESS_TRIES = 20
FIRST_WAIT_S = 60.0
WAIT_MAX_S = 15 * 60.0
FORGET_S = 24 * 3600.0
KEYS_MAX = 5000  # beyond that the oldest is forgotten: memory is bounded whoever asks


class Lockout:
    """Counts of wrong tries."""

    def __init__(self) -> None:
        self._wrong: dict[tuple[str, str], tuple[int, float]] = {}
        self._proven: dict[tuple[str, str], float] = {}

    def wait_s(self, name: str, address: str, now_s: float) -> float:
        """How long this one has to wait before a try is even looked at; 0: not at all."""
        return max(self._wait(self._name_key(name, address, now_s), NAME_TRIES, now_s),
                   self._wait(("from", address), ADDRESS_TRIES, now_s))

    def wrong(self, name: str, address: str, now_s: float) -> None:
        """A try failed."""
        for key in (self._name_key(name, address, now_s), ("from", address)):
            count, last_s = self._wrong.pop(key, (0, now_s))
            self._wrong[key] = (1 if now_s - last_s > FORGET_S else count + 1, now_s)
        while len(self._wrong) > KEYS_MAX:
            del self._wrong[next(iter(self._wrong))]

    def right(self, name: str, address: str, now_s: float) -> None:
        """A try succeeded: the name is free again, and this address is known for it. The address's own count stays:
        who guesses at many names may own one of them."""
        self._wrong.pop(("name", name), None)
        self._wrong.pop((f"known {address}", name), None)
        self._proven.pop((name, address), None)
        self._proven[(name, address)] = now_s
        while len(self._proven) > KEYS_MAX:
            del self._proven[next(iter(self._proven))]

    def _name_key(self, name: str, address: str, now_s: float) -> tuple[str, str]:
        known_s = self._proven.get((name, address)) if address else None
        known = known_s is not None and now_s - known_s < FORGET_S
        return (f"known {address}", name) if known else ("name", name)

    def _wait(self, key: tuple[str, str], tries: int, now_s: float) -> float:
        if key == ("from", ""):
            return 0.0
        count, last_s = self._wrong.get(key, (0, 0.0))
        if count < tries:
            return 0.0
        wait_s = min(WAIT_MAX_S, FIRST_WAIT_S * 2.0 ** min(count - tries, 10))
        return max(0.0, last_s + wait_s - now_s)
