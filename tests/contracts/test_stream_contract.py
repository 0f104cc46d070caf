"""One suite that the simulation's stream model and JetStream both pass, so that the model is not kinder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from community_os.broker import Broker, BrokerSettings
from community_os.nats_stream import JetStreamStream
from device_model.ports import StaleRevision, Stream, StreamMessage
from device_model.system_clock import SystemClock
from provisioning.authority import Authority
from tests.simulation.models.stream_model import StreamModel

Open = Callable[[], Awaitable[Any]]


@pytest_asyncio.fixture(params=["model", pytest.param("jetstream", marks=pytest.mark.real)])
async def clients(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """A function that opens one more client of one server."""
    opened: list[Any] = []
    if request.param == "model":
        first = StreamModel(SystemClock())

        async def open_model() -> Any:
            return first.another()

        yield open_model
        return
    broker = Broker(
        tmp_path / "broker", Authority.open(tmp_path / "ca"),
        BrokerSettings(mqtt_port=0, services_port=0, sync_always=False),
    )
    await broker.start()

    async def open_real() -> Any:
        opened.append(await JetStreamStream.open(broker.access))
        return opened[-1]

    yield open_real
    for stream in opened:
        await stream.close()
    await broker.stop()


async def take(stream: Stream, after: int, subject_filter: str, count: int) -> list[StreamMessage]:
    got: list[StreamMessage] = []
    async with asyncio.timeout(60):
        async for message in stream.read(after, subject_filter):
            got.append(message)
            if len(got) == count:
                break
    return got


async def test_numbers_run_from_one_and_readers_see_order(clients: Open) -> None:
    stream = await clients()
    assert await stream.last_sequence() == 0
    numbers = [await stream.publish("site.0.a.b.c.d.up", b"%d" % n, message_id=f"m{n}") for n in range(20)]
    assert numbers == list(range(1, 21))
    assert await stream.last_sequence() == 20
    assert [(m.sequence, m.payload) for m in await take(stream, 7, "site.>", 13)] == [
        (n, b"%d" % (n - 1)) for n in range(8, 21)]


async def test_many_publishes_may_wait_at_once(clients: Open) -> None:
    stream = await clients()
    numbers = await asyncio.gather(*(
        stream.publish("site.0.a.b.c.d.up", b"%d" % n, message_id=f"m{n}") for n in range(200)))
    assert sorted(numbers) == list(range(1, 201))
    assert {m.sequence: m.payload for m in await take(stream, 0, "site.>", 200)} == {
        number: b"%d" % n for n, number in enumerate(numbers)}


async def test_the_same_id_is_stored_once(clients: Open) -> None:
    stream, other = await clients(), await clients()
    first = await stream.publish("site.0.a.b.c.d.up", b"x", message_id="same")
    await stream.publish("site.0.a.b.c.d.up", b"y", message_id="other")
    assert await other.publish("site.0.a.b.c.d.up", b"x", message_id="same") == first
    assert await stream.last_sequence() == 2


@pytest.mark.parametrize(("subject_filter", "expected"), [
    ("site.>", [1, 2, 3, 4]),
    ("site.*.a.b.c.d.up", [1, 3]),
    ("site.1.>", [3, 4]),
    ("site.*.*.*.*.*.act", [2]),
])
async def test_filters(clients: Open, subject_filter: str, expected: list[int]) -> None:
    stream = await clients()
    subjects = ("site.0.a.b.c.d.up", "site.0.a.b.c.d.act", "site.1.a.b.c.d.up", "site.1.a.b.c.e.up")
    for n, subject in enumerate(subjects):
        await stream.publish(subject, b"%d" % n, message_id=f"m{n}")
    assert [m.sequence for m in await take(stream, 0, subject_filter, len(expected))] == expected


async def test_a_reader_waits_for_what_comes(clients: Open) -> None:
    stream, writer = await clients(), await clients()
    await writer.publish("site.0.a.b.c.d.up", b"1", message_id="m1")
    reading = asyncio.create_task(take(stream, 1, "site.>", 2))
    await asyncio.sleep(0)
    for n in (2, 3):
        await writer.publish("site.0.a.b.c.d.up", b"%d" % n, message_id=f"m{n}")
    assert [m.payload for m in await reading] == [b"2", b"3"]


async def test_keys_compare_and_set(clients: Open) -> None:
    stream, other = await clients(), await clients()
    assert await stream.get("a.b-c") is None
    first = await stream.put("a.b-c", b"one", expected_revision=0)
    assert first > 0 and await other.get("a.b-c") == (b"one", first)
    with pytest.raises(StaleRevision):
        await other.put("a.b-c", b"two", expected_revision=0)
    second = await other.put("a.b-c", b"two", expected_revision=first)
    assert second > first and await stream.get("a.b-c") == (b"two", second)
    with pytest.raises(StaleRevision):
        await stream.put("a.b-c", b"three", expected_revision=first)
    with pytest.raises(StaleRevision):
        await stream.put("never-made", b"x", expected_revision=99)


async def test_a_repeated_put_of_one_client_is_recognised_but_not_that_of_another(clients: Open) -> None:
    stream, other = await clients(), await clients()
    first = await stream.put("k", b"same", expected_revision=0)
    assert await stream.put("k", b"same", expected_revision=0) == first
    with pytest.raises(StaleRevision):
        await other.put("k", b"same", expected_revision=0)
    assert await stream.get("k") == (b"same", first)


async def test_values_of_half_a_mebibyte_and_binary_payloads(clients: Open) -> None:
    stream = await clients()
    value = bytes(range(256)) * 2048
    revision = await stream.put("big", value, expected_revision=0)
    assert await stream.get("big") == (value, revision)
    await stream.publish("site.0.a.b.c.d.up", value, message_id="big")
    assert (await take(stream, 0, "site.>", 1))[0].payload == value
