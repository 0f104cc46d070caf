"""RangeSet: which sequence numbers have arrived, been acknowledged, or been declared lost.

A few closed ranges stand for millions of numbers. Used by the gateway's lanes and by the cloud's ledger, so
that both ends speak of gaps in the same words.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

Range = tuple[int, int]  # closed: first and last number


class RangeSet:
    """A set of integers kept as sorted, disjoint, non-adjacent closed ranges."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Add the closed range first..last; ValueError if last < first."""
        if last < first:
            raise ValueError(f"range {first}..{last} is empty")
        # Ranges from `low` up to `high` (exclusive) touch or overlap the new one and melt into it.
        low = bisect_left(self._lasts, first - 1)
        high = low
        while high < len(self._firsts) and self._firsts[high] <= last + 1:
            first = min(first, self._firsts[high])
            last = max(last, self._lasts[high])
            high += 1
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        index = bisect_left(self._lasts, number)
        return index < len(self._firsts) and self._firsts[index] <= number

    def __iter__(self) -> Iterator[Range]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def __len__(self) -> int:
        """How many ranges there are (not how many numbers)."""
        return len(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and list(self) == list(other)

    def __hash__(self) -> int:
        raise TypeError("a RangeSet changes, so it cannot be a key")

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"

    def count(self) -> int:
        """How many numbers are in the set."""
        return sum(last - first + 1 for first, last in self)

    def highest(self) -> int | None:
        """The largest number, or None when empty."""
        return self._lasts[-1] if self._lasts else None

    def missing(self, first: int, last: int) -> list[Range]:
        """The closed ranges within first..last that are not in the set."""
        gaps: list[Range] = []
        index = bisect_left(self._lasts, first)
        at = first
        while at <= last:
            if index >= len(self._firsts) or self._firsts[index] > last:
                gaps.append((at, last))
                break
            if self._firsts[index] > at:
                gaps.append((at, self._firsts[index] - 1))
            at = self._lasts[index] + 1
            index += 1
        return gaps

    def copy(self) -> RangeSet:
        """An independent copy."""
        twin = RangeSet()
        twin._firsts = self._firsts.copy()
        twin._lasts = self._lasts.copy()
        return twin
