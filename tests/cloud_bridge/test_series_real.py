"""What is written is read back equal by Debian's InfluxDB and VictoriaMetrics; a kill in mid-batch loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec
import pytest

from cloud_bridge.influx import InfluxSeries
from cloud_bridge.series_feed import SeriesFeed
from device_model.errors import PeerRefused, PeerSilent
from device_model.reading import Quality, Reason
from device_model.series import Sample, SeriesQuery
from device_model.site import SeriesKind, SeriesSettings
from device_model.system_clock import SystemClock, new_time_scale
from edge_agent.series import SqliteSeries
from tests.cloud_bridge.series_peers import Server

pytestmark = pytest.mark.real
T0 = 1_790_000_000_000_000
KINDS = [SeriesKind.INFLUX_1, SeriesKind.VICTORIA]
SITE = "hangzhou/yuhang/cangqian/riverside"


def sample(n: int = 0, **more: object) -> Sample:
    known = {"site": SITE, "gateway": "gw-1", "zone": "b1-301", "point": "climate-3.temperature",
             "quantity": "temperature", "unit": "Cel", "time_us": T0 + n * 1_000_000, "value": 20.0 + n,
             "received_us": T0 + n * 1_000_000 + 3_000, "lane": "telemetry", "epoch": "e1", "sequence": n + 1, **more}
    return Sample(**known)  # type: ignore[arg-type]


ALL = [
    sample(0), sample(1, value=-0.1), sample(2, value=1e-3), sample(3, value=1234567.875),
    sample(4, value=21.5, quality=Quality.UNCERTAIN, reason=Reason.WARM_UP),
    sample(5, value=None, quality=Quality.BAD, reason=Reason.SILENT),
    sample(6, point="smoke-1.smoke_alarm", quantity="smoke_alarm", unit="1", value=True),
    sample(7, point="smoke-1.smoke_alarm", quantity="smoke_alarm", unit="1", value=False),
]
# VictoriaMetrics keeps numbers only, and numbers of one block to some 15 digits together.
TEXTS = [
    sample(10, value=1.7976931348623157e308), sample(11, value=5e-324),
    sample(8, point="panel.state", quantity="state_text", unit="1", value='火警 "A", a=b\\c \\'),
    sample(9, zone="zone, with=all the,rest", value=3.25),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.value)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    served = Server(request.param, tmp_path / "server")
    served.start()
    yield served
    served.kill()


def as_kept(one: Sample, kind: SeriesKind) -> Sample:
    """VictoriaMetrics keeps milliseconds, and numbers only: not why a value is bad, nor its epoch."""
    if kind is SeriesKind.VICTORIA:
        return msgspec.structs.replace(one, reason=Reason.NONE, lane="", epoch="")
    return one


async def test_what_is_written_is_read_back_equal(server: Server) -> None:
    written = ALL if server.kind is SeriesKind.VICTORIA else [*ALL, *TEXTS]
    store = InfluxSeries(server.remote)
    try:
        assert await store.write(written) == ()
        assert await store.write(written) == (), "twice is once"
        server.flush()
        found = await store.read(SeriesQuery(T0, T0 + 60_000_000))
        some = await store.read(SeriesQuery(T0, T0 + 60_000_000, ("smoke-1",)))
        few = await store.read(SeriesQuery(T0 + 1_000_000, T0 + 3_000_000, ("climate-3.temperature",), ("b1-301",)))
    finally:
        await store.close()
    in_order = sorted(written, key=lambda one: one.time_us)
    assert list(found) == [as_kept(one, server.kind) for one in in_order]
    assert [one.value for one in some] == [True, False] and [one.value for one in few] == [-0.1, 1e-3]


async def test_a_line_that_is_refused_is_named_and_the_others_stand(tmp_path: Path) -> None:
    served = Server(SeriesKind.INFLUX_1, tmp_path / "server")
    served.start()
    store = InfluxSeries(served.remote)
    try:
        # Somebody else's program wrote a text where our numbers go.
        body = f'humidity,device=a,gateway=gw-1,point=b,site={SITE},unit=Cel,zone=z value="words" {T0}\n'.encode()
        await store._http.request("POST", "/write?db=tocsin&precision=u", body)
        wrong = sample(3, quantity="humidity", unit="%", point="a.b")
        endless = sample(4, value=float("inf"))
        refused = await store.write([sample(1), wrong, sample(2), endless])
        found = await store.read(SeriesQuery(T0, T0 + 60_000_000, ("climate-3",)))
    finally:
        await store.close()
        served.kill()
    said = {one.sample.sequence: one.why for one in refused}
    assert "field type conflict" in said[wrong.sequence] and "cannot be written" in said[endless.sequence]
    assert [one.sequence for one in found] == [2, 3]


async def test_a_database_that_is_not_there_is_no_loss(tmp_path: Path) -> None:
    served = Server(SeriesKind.INFLUX_1, tmp_path / "server")
    served.start()
    store = InfluxSeries(msgspec.structs.replace(served.remote, database="elsewhere"))
    try:
        with pytest.raises(PeerRefused, match=r"404.*database not found.*check database"):
            await store.write([sample(1)])
        served.kill()
        with pytest.raises(PeerSilent):
            await store.write([sample(1)])
    finally:
        await store.close()
        served.kill()


AWAY, BACK = "time series are not taken, they wait here", "time series are taken again, the gap is being filled"


async def said_by(said: list[str], words: str) -> None:
    async with asyncio.timeout(60):
        while words not in said:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.value)
async def test_killed_in_mid_batch_and_away_for_a_while_nothing_is_lost(kind: SeriesKind, tmp_path: Path) -> None:
    served = Server(kind, tmp_path / "server")
    served.start()
    random = Random(1)
    said: list[str] = []
    local = SqliteSeries(SeriesSettings(path=str(tmp_path / "series.sqlite"), raw_days=36500))

    def feed() -> SeriesFeed:
        return SeriesFeed(local, {"peer": InfluxSeries(served.remote)}, SystemClock(new_time_scale(5.0)), group_s=0.1,
                          jitter=random.random, say=lambda level, what, **_: said.append(what))

    total = 12_000
    try:
        running = feed()
        task = asyncio.create_task(running.run())
        for start in range(0, total, 500):
            running.take([sample(n) for n in range(start, start + 500)])
            await asyncio.sleep(0.01)
            if start in (3_000, 6_000):
                await asyncio.to_thread(served.kill)
            if start == 3_000:
                await said_by(said, AWAY)
            if start == 4_500:
                await asyncio.to_thread(served.start)
                await said_by(said, BACK)
            if start == 8_000:  # the gateway restarts while the server is away
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                await running._keep_once()
                running = feed()
                task = asyncio.create_task(running.run())
        await asyncio.to_thread(served.start)
        async with asyncio.timeout(60):
            while (await local.after("peer", 1)) or running._waiting:
                await asyncio.sleep(0.1)
        server_flushed = served.flush
        await asyncio.to_thread(server_flushed)
        reader = InfluxSeries(served.remote)
        found = await reader.read(SeriesQuery(T0, T0 + total * 1_000_000))
        await reader.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert await local.lost_to("peer") == 0 and running.dropped == 0
        await running.close()
    finally:
        served.kill()
    # InfluxDB syncs its log before it answers; VictoriaMetrics keeps the last seconds in memory and loses them with
    # SIGKILL, though it had answered: it is sent what it may have lost.
    assert [one.sequence for one in found] == list(range(1, total + 1))


async def test_any_letters_in_texts_and_names_come_back(tmp_path: Path) -> None:
    """The protocol's own letters, in any order, through the parser of a real server."""
    random = Random(5)
    letters = 'ab,= "\\#/\'`${}|;:火警 é\n\t'
    written = []
    for n in range(400):
        text = "".join(random.choices(letters, k=random.randint(1, 9)))
        name = "".join(random.choices(letters.replace("\n", "").replace("\t", ""), k=random.randint(0, 7)))
        written.append(sample(n, point="panel.state", quantity="state_text", unit="1", zone=f"z{name}z", value=text))
    served = Server(SeriesKind.INFLUX_1, tmp_path / "server")
    served.start()
    store = InfluxSeries(served.remote)
    try:
        refused = await store.write(written)
        found = await store.read(SeriesQuery(T0, T0 + 400_000_000))
    finally:
        await store.close()
        served.kill()
    assert not refused
    assert list(found) == written
