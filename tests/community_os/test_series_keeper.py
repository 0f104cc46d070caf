"""Readings of all sites out of the stream into time series: nothing lost by kills, late ones at their own times."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec
import pytest

from cloud_bridge.influx import InfluxSeries
from cloud_bridge.series_feed import RemoteSeries
from cloud_bridge.sqlite_series import SqliteSeries
from community_os.commands import series_of
from community_os.envelopes import UpEnvelope, encode_envelope
from community_os.series_keeper import MARK, SeriesKeeper, read_secret
from community_os.series_read import SeriesReader
from community_os.settings import CloudSeries, parse_cloud
from device_model.alarm import AlarmState
from device_model.errors import ConfigError, LocalFault
from device_model.messages import AlarmRecord, Lane, ReadingsRecord
from device_model.series import Level, Refused, Sample, SeriesQuery
from device_model.site import SeriesKind, SeriesRemote
from device_model.system_clock import SystemClock
from tests.cloud_bridge.series_peers import Server, missing
from tests.community_os.site_messages import PATH, reading, up
from tests.rules_engine.incident_house import INVENTORY, T0, step
from tests.simulation.models.stream_model import StreamModel

HEAT = "multi-b1-0.heat"
HOUR_US = 3_600_000_000
WITHIN_S = 30


class House:
    """A stream, a file, and lives of the role between them."""

    def __init__(self, folder: Path) -> None:
        self.settings = CloudSeries(path=str(folder / "series.sqlite"), raw_days=36500, group_s=0.01)
        self.stream = StreamModel(SystemClock())
        self.said: list[str] = []
        self.published = 0

    async def put(self, envelope: UpEnvelope) -> None:
        self.published += 1
        await self.stream.publish("site.0." + PATH.replace("/", ".") + ".up", encode_envelope(envelope),
                                  message_id=f"m-{self.published}")

    async def readings(self, first: int, count: int, at_s: float = 0) -> None:
        """count batches of one reading each, a second apart."""
        for n in range(first, first + count):
            await self.put(up(ReadingsRecord((reading(HEAT, 20.0 + n, at_s + n),)), first=n, lane=Lane.TELEMETRY,
                              at_s=at_s + n))

    def keeper(self, remotes: dict[str, RemoteSeries] | None = None) -> SeriesKeeper:
        return SeriesKeeper(
            self.stream, SqliteSeries(self.settings), remotes or {}, SystemClock(), inventories={PATH: INVENTORY},
            group_s=0.01, jitter=Random(1).random, say=lambda level, what, **_: self.said.append(what))

    async def stored(self, sequence: int) -> None:
        """Until the stream is kept up to there."""
        file = SqliteSeries(self.settings)
        async with asyncio.timeout(WITHIN_S):
            while await file.mark(MARK) < sequence:
                await asyncio.sleep(0.01)
        await file.close()


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_readings_become_hours_and_late_ones_stand_at_their_own_times(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.readings(1, 60)
    await house.stream.publish("site.0.x.up", b"no envelope", message_id="x")
    await house.put(msgspec.structs.replace(up(ReadingsRecord((reading(HEAT, 1.0, 0),))), path="a/b/c/d"))
    keeper = house.keeper()
    task = asyncio.create_task(keeper.run())
    await house.stored(62)
    await house.readings(7200, 1)
    await house.readings(61, 1)  # two hours late
    await house.put(up(ReadingsRecord((reading(HEAT, None, 3),)), first=99))
    await house.stored(65)
    assert (keeper.counts.messages, keeper.counts.unreadable, keeper.counts.foreign) == (65, 1, 1)
    reader = SeriesReader(house.settings)
    hours = (await reader.rollups(PATH, [HEAT], T0 - HOUR_US, T0 + 4 * HOUR_US))[HEAT]
    minutes = (await reader.rollups(PATH, ["multi-b1-0"], T0 - HOUR_US, T0 + HOUR_US, Level.MINUTE))[HEAT]
    single = await reader.samples(PATH, [HEAT], T0, T0 + HOUR_US)
    assert await reader.rollups("a/b/c/d", [HEAT], 0, T0 + HOUR_US) == {}, "another site's are its own"
    assert await reader.rollups(PATH, [], 0, T0 + HOUR_US) == {}
    await reader.close()
    await end(task)
    assert sum(one.good for one in hours) == 62 and hours[-1].mean == 7220.0
    assert sum(one.good for one in minutes) == 61 == len(single)
    assert max(one.most or 0 for one in minutes) == 81.0


async def test_what_the_gateway_s_rules_decide_is_a_series_of_its_own(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.put(up(AlarmRecord(step("b1-0"))))
    await house.put(up(AlarmRecord(step("b1-0", state=AlarmState.CLEARED, at_s=60)), first=2, at_s=60))
    task = asyncio.create_task(house.keeper().run())
    await house.stored(2)
    await end(task)
    file = SqliteSeries(house.settings)
    found = [one for one in await file.read(SeriesQuery(T0, T0 + HOUR_US)) if one.quantity == "rule_alarm"]
    await file.close()
    assert [one.value for one in found] == [True, False] and {one.zone for one in found} == {"b1-0"}
    assert found[0].point.endswith(step("b1-0").key.rule)


async def test_a_life_that_ends_anywhere_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    house, random = House(tmp_path), Random(4)
    total = 0
    for _ in range(6):
        await house.readings(total + 1, 50)
        total += 50
        task = asyncio.create_task(house.keeper().run())
        await asyncio.sleep(random.random() * 0.05)
        await end(task)
    task = asyncio.create_task(house.keeper().run())
    await house.stored(total)
    await end(task)
    file = SqliteSeries(house.settings)
    found = await file.read(SeriesQuery(T0, T0 + HOUR_US))
    await file.close()
    assert [one.sequence for one in found] == list(range(1, total + 1))


async def test_a_disk_that_takes_nothing_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path)
    await house.readings(1, 5)
    keeper, tries = house.keeper(), 0
    keep = keeper.feed.keep

    async def full(*arguments: object) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise LocalFault("no space left")
        await keep(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(keeper.feed, "keep", full)
    task = asyncio.create_task(keeper.run())
    await house.stored(5)
    await end(task)
    assert any("not kept now" in what for what in house.said) and any("kept again" in what for what in house.said)


async def test_a_page_before_the_first_reading_has_nothing_to_draw(tmp_path: Path) -> None:
    reader = SeriesReader(CloudSeries(path=str(tmp_path / "none.sqlite")))
    assert await reader.rollups(PATH, [HEAT], 0, T0) == {} and await reader.samples(PATH, [HEAT], 0, T0) == ()
    assert not (tmp_path / "none.sqlite").exists(), "reading makes no file"
    await reader.close()


# --- settings ---------------------------------------------------------------------------------------------------


def test_the_cloud_s_file_names_servers_and_every_mistake() -> None:
    text = """
state: var
series:
  raw_days: 3
  remotes:
    - {id: influx, kind: influxdb1, url: "http://127.0.0.1:8086", secret_file: keys/influx}
"""
    found = parse_cloud(text, "/etc/tocsin/cloud.yaml")
    assert found.own_series.path == "/etc/tocsin/var/series.sqlite" and found.series.raw_days == 3
    assert found.series.minute_days == 14 and found.series.keep
    assert found.series.remotes[0].secret_file == "/etc/tocsin/keys/influx"
    wrong = text.replace("http://127.0.0.1:8086", "http://influx.example:8086").replace("3", "0") + (
        "    - {id: influx, kind: influxdb2, url: 'https://x.example'}\n")
    with pytest.raises(ConfigError) as caught:
        parse_cloud(wrong, "cloud.yaml")
    said = str(caught.value)
    assert all(words in said for words in ("no https address", "stands twice", "organisation", "must be positive"))


def test_the_command_says_how_far_it_is(tmp_path: Path) -> None:
    (tmp_path / "cloud.yaml").write_text(
        "state: .\nseries: {remotes: [{id: vm, kind: victoria-metrics, url: 'http://127.0.0.1:1'}]}\n")
    with pytest.raises(LocalFault, match="no series are kept yet"):
        series_of(tmp_path / "cloud.yaml")

    async def keep() -> None:
        file = SqliteSeries(CloudSeries(path=str(tmp_path / "series.sqlite")))
        kept = Sample(PATH, "gw-1", "b1-0", HEAT, "temperature", "Cel", T0, 20.0)
        await file.write([kept, msgspec.structs.replace(kept, time_us=T0 + 1)], {MARK: 12})
        await file.had("vm", 1, (Refused(kept, "field type conflict"),), T0)
        await file.close()

    asyncio.run(keep())
    report = series_of(tmp_path / "cloud.yaml")
    assert report.kept == 12 and report.servers[0]["waiting"] == 1 and report.servers[0]["refused"] == 1
    assert "message 12" in report.text() and "field type conflict" in report.text()


def test_secrets_are_read_from_their_file(tmp_path: Path) -> None:
    remote = SeriesRemote("influx", SeriesKind.INFLUX_1, "http://127.0.0.1:1", secret_file=str(tmp_path / "s"))
    with pytest.raises(LocalFault, match="cannot be read"):
        read_secret(remote)
    (tmp_path / "s").write_text("\n")
    with pytest.raises(LocalFault, match="empty"):
        read_secret(remote)
    (tmp_path / "s").write_text("me:word\n")
    assert read_secret(remote) == "me:word" and read_secret(msgspec.structs.replace(remote, secret_file="")) == ""


# --- real servers -----------------------------------------------------------------------------------------------


@pytest.fixture(params=[SeriesKind.INFLUX_1, SeriesKind.VICTORIA], ids=lambda kind: kind.value)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    if missing():
        pytest.skip(missing())
    served = Server(request.param, tmp_path / "server")
    served.start()
    yield served
    served.kill()


@pytest.mark.real
async def test_a_server_killed_in_mid_batch_and_a_role_killed_meanwhile_lose_nothing(
    server: Server, tmp_path: Path,
) -> None:
    house = House(tmp_path)

    def remotes() -> dict[str, RemoteSeries]:
        return {"peer": InfluxSeries(server.remote, tenancy=True)}

    await house.readings(1, 400)
    task = asyncio.create_task(house.keeper(remotes()).run())
    await house.stored(1)
    await asyncio.to_thread(server.kill)
    await house.readings(401, 400)
    await house.stored(800)
    await end(task)
    task = asyncio.create_task(house.keeper(remotes()).run())
    await house.readings(801, 200)
    await asyncio.to_thread(server.start)
    file = SqliteSeries(house.settings)
    async with asyncio.timeout(60):
        while (await file.mark(MARK)) < 1000 or await file.after("peer", 1):
            await asyncio.sleep(0.1)
    assert await file.lost_to("peer") == 0
    await file.close()
    await end(task)
    await asyncio.to_thread(server.flush)
    reader = InfluxSeries(server.remote)
    found = await reader.read(SeriesQuery(T0, T0 + HOUR_US, ("multi-b1-0",), site=PATH))
    assert await reader.read(SeriesQuery(T0, T0 + HOUR_US, site="a/b/c/d")) == ()
    if server.kind is SeriesKind.INFLUX_1:
        answer = await reader.ask("SHOW TAG VALUES WITH KEY IN (\"city\", \"district\", \"street\")")
        values = {tuple(row) for series in answer["results"][0]["series"] for row in series["values"]}
        assert values == set(zip(("city", "district", "street"), PATH.split("/")[:3], strict=True))
    await reader.close()
    assert [one.sequence for one in found] == list(range(1, 1001))
