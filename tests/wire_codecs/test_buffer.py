"""The receive buffer keeps order, stays bounded and counts every byte that it drops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire_codecs import ReceiveBuffer

STEPS = st.lists(st.tuples(st.sampled_from(["feed", "take", "skip", "mark"]), st.binary(max_size=40)), max_size=60)


@given(STEPS, st.integers(1, 64))
def test_every_byte_is_held_taken_or_counted(steps: list[tuple[str, bytes]], limit: int) -> None:
    buffer, fed, taken = ReceiveBuffer(limit), bytearray(), 0
    for step, content in steps:
        if step == "feed":
            buffer.feed(content)
            fed += content
        elif step == "take":
            taken += len(buffer.take(min(len(content), len(buffer))))
        elif step == "skip":
            buffer.skip(len(content))
        else:
            buffer.skip_to(b"##")
        assert len(buffer) <= limit
        assert len(buffer) + taken + buffer.dropped == len(fed)
        assert bytes(fed).endswith(buffer.peek())


def test_skip_to_keeps_the_beginning_of_a_mark_that_is_still_arriving() -> None:
    buffer = ReceiveBuffer(100)
    buffer.feed(b"noise#")
    assert not buffer.skip_to(b"##") and buffer.peek() == b"#" and buffer.dropped == 5
    buffer.feed(b"#0101")
    assert buffer.skip_to(b"##") and buffer.take(6) == b"##0101" and len(buffer) == 0


def test_misuse_is_said() -> None:
    with pytest.raises(ValueError, match="holds nothing"):
        ReceiveBuffer(0)
    buffer = ReceiveBuffer(4)
    assert buffer.feed(b"abcdef") == 2 and buffer.peek() == b"cdef"
    with pytest.raises(ValueError, match="5 bytes asked, 4 held"):
        buffer.take(5)
    buffer.clear()
    assert len(buffer) == 0 and buffer.dropped == 2
