"""Addresses and numbers that cannot be are refused in words, before anything opens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_sim.commands import run_proxy
from firmware_sim.line_commands import run_cameras, run_record, run_replay

LINE = Path(__file__)  # any file: the address is looked at first, or the file is said to be no recording


@pytest.mark.parametrize(("command", "said"), [
    (lambda: run_record(Path("x"), listen="127.0.0.1:99999", to="a:1"), "--listen '127.0.0.1:99999' is no address"),
    (lambda: run_record(Path("x"), listen="127.0.0.1:0", to="a:b"), "--to 'a:b' is no address"),
    (lambda: run_record(Path("x"), serial="/dev/none", baud=0), "--baud 0 is no speed"),
    (lambda: run_proxy("127.0.0.1:70000", "a:1"), "'127.0.0.1:70000', is no address"),
    (lambda: run_proxy("127.0.0.1:0", "nowhere"), "'nowhere', is no address"),
    (lambda: run_cameras(0, clips=Path("x")), "0 cameras cannot be served"),
    (lambda: run_cameras(-3, clips=Path("x")), "-3 cameras cannot be served"),
    (lambda: run_replay(LINE, listen="127.0.0.1:x"), "no head of a recorded line"),
])
def test_what_cannot_be_is_refused_in_words(
    command: Callable[[], None], said: str, capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 1 and said in capsys.readouterr().err
