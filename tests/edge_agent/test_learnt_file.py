"""What the lines learnt outlives a restart, and no disk makes it a danger."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.learnt_file import LearntFile

LINES = {"a": b'{"version":1,"devices":{}}', "b": b'{"version":1,"devices":{"d":{}}}'}


def test_kept_and_read_again(tmp_path: Path) -> None:
    file = LearntFile(tmp_path / "journal.sqlite")
    assert file.read() == {}
    assert file.keep(LINES)
    file.wait(10)
    assert not file.keep(LINES), "the same is not written twice: cards wear"
    assert LearntFile(tmp_path / "journal.sqlite").read() == LINES
    again = LearntFile(tmp_path / "journal.sqlite")
    again.read()
    assert not again.keep(LINES)
    assert [path.name for path in tmp_path.iterdir()] == ["journal.sqlite.learnt"]


@pytest.mark.parametrize("octets", [b"", b"{", b"[1]", b"\xff", b'{"a":'])
def test_a_damaged_file_is_left_and_written_anew(octets: bytes, tmp_path: Path) -> None:
    (tmp_path / "j.learnt").write_bytes(octets)
    file = LearntFile(tmp_path / "j")
    assert file.read() == {}
    assert file.keep(LINES)
    file.wait(10)
    assert LearntFile(tmp_path / "j").read() == LINES


def test_a_disk_that_refuses_is_no_matter(tmp_path: Path) -> None:
    file = LearntFile(tmp_path / "no-such-folder" / "j")
    assert file.keep(LINES)
    file.wait(10)
    assert file.keep(LINES), "tried again next time"
    file.wait(10)
    assert LearntFile(tmp_path).read() == {}
