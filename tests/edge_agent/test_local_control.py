"""People on site: the socket, its words, and what is refused."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.command import CommandKind
from device_model.errors import LocalFault
from edge_agent.local_control import Answer, LocalControl, Request, ask, command_of, socket_paths


async def _yes(request):
    return Answer(True)


@pytest.mark.parametrize(("action", "kind"), [
    ("silence", CommandKind.SILENCE_SOUNDER), ("reset", CommandKind.RESET_ALARM), ("test", CommandKind.TEST_MODE),
    ("isolate", CommandKind.ISOLATE), ("restore", CommandKind.RESTORE), ("proof", CommandKind.PROOF_ALARM),
])
def test_words_and_what_they_mean(action, kind):
    command = command_of(Request(action, "x", "Li Wei", "why", 60.0, "id-1"), 7)
    assert command.kind is kind and command.on_site and command.value == 60.0
    assert (command.id, command.issued_us) == ("id-1", 7)


@pytest.mark.parametrize(("action", "for_s", "value", "expires_us"), [
    ("on", 60.0, True, 60_000_007), ("on", 0.0, True, 0), ("off", 0.0, False, 0),
    ("on", float("inf"), True, 86_400_000_007),
])
def test_an_output_is_switched_by_hand(action, for_s, value, expires_us):
    command = command_of(Request(action, "horn", "Li Wei", "seen", for_s), 7)
    assert (command.kind, command.value, command.expires_us) == (CommandKind.WRITE_OUTPUT, value, expires_us)


def test_an_unknown_word_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="silence"):
        command_of(Request("explode"), 0)


def test_a_name_too_long_for_the_kernel_moves(tmp_path):
    beside, elsewhere = socket_paths("/var/lib/tocsin/journal.sqlite")
    assert beside == Path("/var/lib/tocsin/journal.control") and elsewhere.parent != beside.parent
    (only,) = socket_paths(str(tmp_path / ("x" * 120) / "journal.sqlite"))
    assert len(os.fsencode(only)) <= 100


@given(line=st.binary(max_size=300))
def test_no_line_breaks_the_door(line):
    asked = []

    async def act(request):
        asked.append(request)
        return Answer(True)

    answer = asyncio.run(LocalControl((Path("unused"),), act)._answer(line))
    assert answer.ok == bool(asked)


def test_nobody_answers_is_one_clear_message(tmp_path):
    with pytest.raises(LocalFault, match="no gateway answers"):
        ask([tmp_path / "none.control"], Request("state"))


@pytest.mark.real
async def test_asked_over_the_socket(tmp_path):
    path = tmp_path / "g.control"
    async def act(request):
        return Answer(True, f"{request.action} {request.target}")

    control = LocalControl([path], act)
    control.claim()
    serving = asyncio.ensure_future(control.serve())
    while not path.exists():
        await asyncio.sleep(0.01)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    answer = await asyncio.to_thread(ask, [path], Request("silence", "bell", "Li Wei"))
    assert answer == Answer(True, "silence bell")
    with pytest.raises(LocalFault, match="another gateway"):
        LocalControl([path], act).claim()
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b'{"action": 7}\n')
    assert not msgspec.json.decode(await reader.readline(), type=Answer).ok
    writer.close()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert not path.exists()


@pytest.mark.real
async def test_where_the_disk_takes_nothing_the_door_is_elsewhere(tmp_path):
    (tmp_path / "var").write_text("no folder", encoding="utf-8")
    paths = (tmp_path / "var" / "g.control", tmp_path / "g.control")
    serving = asyncio.ensure_future(LocalControl(paths, _yes).serve())
    while not paths[1].exists():
        await asyncio.sleep(0.01)
    assert (await asyncio.to_thread(ask, paths, Request("state"))).ok
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


@pytest.mark.real
async def test_a_socket_left_by_a_killed_gateway_is_taken_over(tmp_path):
    path = tmp_path / "g.control"
    server = await asyncio.start_unix_server(lambda r, w: None, str(path))
    server.close()
    await server.wait_closed()
    path.touch()
    control = LocalControl([path], _yes)
    control.claim()
    assert not path.exists()
