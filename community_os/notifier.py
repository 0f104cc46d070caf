"""Notifier (I/O): sends what stands in the table `notice`, and tells each incident what became of it.

    store ──due──► POST, signed (webhook) ─┬──taken──► sent ─┐
      ▲       └──► words (channel.py) ─────┤                 │
      │               └── else: again, with growing pauses ─► after a day: dead, with its reason
      └──────────────────────────────────────────────────────┴──► DeliveredEnvelope ──► stream ──► worker ──► incident

A notice is stored before it is sent and has one id at every try: at least once here, once at a receiver that looks at
`webhook-id`. One endpoint that hangs never holds up another. Channels of people have flood control (notice_flood.py):
beyond so many messages a minute what waits goes as one; what law 1 names never waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import structlog

from community_os.channel import Channel, read_url
from community_os.envelopes import PARTITIONS, DeliveredEnvelope, encode_envelope, subject_of
from community_os.notice_flood import Flood
from community_os.notice_signing import GIVE_UP_US, Key, headers_of, parse_key, pause_us
from community_os.notice_store import Notice, NoticeStatus, NoticeStore
from community_os.notice_words import digest_event
from community_os.settings import EndpointKind, EndpointSettings
from community_os.store import StoreCalls
from device_model.clock import Clock
from device_model.errors import ConfigError, Finding, LocalFault, PeerError
from device_model.ports import Stream
from device_model.site import Tenancy

# One look at the table; an endpoint's tries go one after another, endpoints side by side.
DUE_MAX = 200
IN_A_ROW = 20  # then the table is asked again, for what is more urgent
LOOK_EVERY_S = 0.2
POST_WITHIN_S = 10.0
ANSWER_BYTES_MAX = 2_000
_log = structlog.get_logger("tocsin.notifier")

# Sends one body with its headers; returns "" or why it was not taken.
Post = Callable[["Endpoint", bytes, dict[str, str]], Awaitable[str]]


class Endpoint(msgspec.Struct, frozen=True):
    """Where notices go. key: None sends unsigned (loopback only). channel: of people, then url is empty and more than
    per_minute messages go as one."""

    name: str
    url: str
    key: Key | None
    channel: Channel | None = None
    per_minute: int = 0


def read_endpoints(settings: tuple[EndpointSettings, ...], file: str, pages: str = "") -> dict[str, Endpoint]:
    """The endpoints with their keys and addresses. pages: for links in messages. Raises ConfigError with every
    finding."""
    endpoints: dict[str, Endpoint] = {}
    findings: list[Finding] = []
    for one in settings:
        key = None
        if one.kind is EndpointKind.APPRISE:
            try:
                channel = Channel(one.name, read_url(one.name, one.url_file, one.url_env), language=one.language,
                                  audience=one.audience, pages=pages)
            except LocalFault as fault:
                findings.append(Finding(file, 0, 0, str(fault), "then try it: `tocsin cloud notices test CHANNEL`"))
                continue
            endpoints[one.name] = Endpoint(one.name, "", None, channel, one.per_minute)
            continue
        if one.key_file:
            try:
                key = parse_key(Path(one.key_file).read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, ValueError) as error:
                findings.append(Finding(file, 0, 0, f"endpoint {one.name}: {one.key_file}: {error}",
                                        "make one with `tocsin cloud key FILE`"))
        endpoints[one.name] = Endpoint(one.name, one.url, key)
    if findings:
        raise ConfigError(findings)
    return endpoints


class Notifier:
    """Sends for all sites. One process; a second one would only send twice what receivers take once."""

    def __init__(
        self, notices: NoticeStore, calls: StoreCalls, stream: Stream, clock: Clock, *,
        endpoints: Mapping[str, Endpoint], post: Post, partitions: int = PARTITIONS, speed: float = 1.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """speed: shown seconds per real second of `clock`. jitter: in [0, 1), so that not all tries come at once."""
        self._notices, self._calls, self._stream, self._clock = notices, calls, stream, clock
        self._endpoints, self._post, self._partitions, self._speed = endpoints, post, partitions, speed
        self._jitter = jitter
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._floods: dict[str, Flood] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                try:
                    await self.once()
                    await self.report()
                except (LocalFault, PeerError) as error:
                    _log.warning("cannot work now; trying again", reason=str(error))
                await self._clock.sleep(LOOK_EVERY_S * self._speed)
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def once(self) -> None:
        """Start sending what is due; endpoints that are still at it go on."""
        now_us = self._clock.now().wall_us
        busy = [name for name, task in self._busy.items() if not task.done()]
        due = await self._calls(lambda: self._notices.due(now_us, DUE_MAX, busy=busy))
        by_endpoint: dict[str, list[Notice]] = {}
        for notice in due:
            by_endpoint.setdefault(notice.endpoint, []).append(notice)
        for name, notices in by_endpoint.items():
            endpoint = self._endpoints.get(name)
            if endpoint is not None and endpoint.channel is not None:
                job = self._tell_people(endpoint, endpoint.channel)
            else:
                job = self._send_all(notices[:IN_A_ROW])
            self._busy[name] = asyncio.create_task(job, name=f"endpoint {name}")

    async def settled(self) -> None:
        """Wait for what is being sent now (tests)."""
        await asyncio.gather(*self._busy.values())

    async def _send_all(self, notices: list[Notice]) -> None:
        for notice in notices:
            try:
                if not await self._send(notice):
                    return  # the others may be more urgent by now; this one waits its pause
            except LocalFault as error:
                # The store did not take how it ended: it is sent again, and the receiver knows its id.
                _log.warning("outcome not stored", notice=notice.id, reason=str(error))
                return

    async def _send(self, notice: Notice) -> bool:
        endpoint = self._endpoints.get(notice.endpoint)
        now_us = self._clock.now().wall_us
        if endpoint is None:
            reason = f"there is no endpoint {notice.endpoint!r} in cloud.yaml"
        else:
            reason = await self._post(endpoint, notice.body, headers_of(notice.id, notice.body, now_us, endpoint.key))
        tried = msgspec.structs.replace(notice, attempts=notice.attempts + 1, reason=reason)
        after_us = self._clock.now().wall_us
        next_us = 0
        if not reason:
            tried = msgspec.structs.replace(tried, status=NoticeStatus.SENT)
        elif after_us - notice.at_us >= GIVE_UP_US and tried.attempts > 1:
            tried = msgspec.structs.replace(tried, status=NoticeStatus.DEAD)
            _log.error("a notice was given up", endpoint=notice.endpoint, notice=notice.id, reason=reason)
        else:
            next_us = after_us + self._pause_us(tried.attempts, urgent=notice.urgent)
            _log.warning("not sent; trying again", endpoint=notice.endpoint, attempts=tried.attempts, reason=reason)
        await self._calls(lambda: self._notices.settle(tried, after_us, next_us=next_us))
        return not reason

    # --- channels of people ---------------------------------------------------------------------------------

    async def _tell_people(self, endpoint: Endpoint, channel: Channel) -> None:
        """What is due for one channel: what law 1 names at once, the rest as the flood control lets it."""
        flood = self._floods.setdefault(endpoint.name, Flood(endpoint.per_minute))
        now_us = self._clock.now().wall_us
        try:
            urgent = await self._calls(lambda: self._notices.waiting(endpoint.name, now_us, DUE_MAX, urgent=True))
            for group in flood.urgent(urgent):
                if not await self._tell(channel, group):
                    return
            given_up = await self._calls(lambda: self._notices.shed(endpoint.name, now_us))
            if given_up:
                _log.error("more waits for a channel than may", endpoint=endpoint.name, given_up=given_up)
            others = await self._calls(lambda: self._notices.waiting(endpoint.name, now_us, DUE_MAX, urgent=False))
            turn = flood.others(others, now_us)
            for group in turn.groups:
                if not await self._tell(channel, group):
                    return
            if turn.later:
                await self._calls(lambda: self._notices.settle_all(
                    turn.later, now_us, status=NoticeStatus.WAITING, next_us=turn.next_us, tried=False))
        except LocalFault as error:
            _log.warning("outcome not stored", endpoint=endpoint.name, reason=str(error))

    async def _tell(self, channel: Channel, notices: Sequence[Notice]) -> bool:
        """One message for all of these; whether it was taken."""
        if len(notices) == 1:
            reason = await channel.send(notices[0].body)
        else:
            events = [msgspec.json.decode(notice.body) for notice in notices]
            reason = await channel.say(channel.words(digest_event(events, len(events), notices[0].at_us)))
        after_us = self._clock.now().wall_us
        if not reason:
            await self._calls(lambda: self._notices.settle_all(notices, after_us, status=NoticeStatus.SENT))
            return True
        attempts = max(notice.attempts for notice in notices) + 1
        dead = [n for n in notices if after_us - n.at_us >= GIVE_UP_US and n.attempts]
        again = [n for n in notices if n not in dead]
        next_us = after_us + self._pause_us(attempts, urgent=notices[0].urgent)
        if dead:
            _log.error("notices were given up", endpoint=channel.name, count=len(dead), reason=reason)
            await self._calls(lambda: self._notices.settle_all(
                dead, after_us, status=NoticeStatus.DEAD, reason=reason))
        if again:
            _log.warning("not sent; trying again", endpoint=channel.name, attempts=attempts, reason=reason)
            await self._calls(lambda: self._notices.settle_all(
                again, after_us, status=NoticeStatus.WAITING, reason=reason, next_us=next_us))
        return False

    def _pause_us(self, attempts: int, *, urgent: bool) -> int:
        """Never longer than the pause itself: what law 1 names is not late by chance."""
        return round(pause_us(attempts, urgent=urgent) * (1.0 - 0.3 * self._jitter()))

    async def report(self) -> None:
        """Tell the incidents what became of their notices."""
        ended = await self._calls(lambda: self._notices.unreported(DUE_MAX))
        if not ended:
            return
        now_us = self._clock.now().wall_us
        for notice in ended:
            given_up = notice.reason or "given up" if notice.status is NoticeStatus.DEAD else ""
            envelope = DeliveredEnvelope(notice.path, notice.incident, notice.id, notice.endpoint, now_us, given_up)
            await self._stream.publish(subject_of(Tenancy.of(notice.path), "told", self._partitions),
                                       encode_envelope(envelope),
                                       message_id=f"told-{notice.id}-{notice.attempts}-{notice.status.value}")
        await self._calls(lambda: self._notices.reported([notice.id for notice in ended]))


async def post_http(endpoint: Endpoint, body: bytes, headers: dict[str, str]) -> str:
    """One POST in a thread of its own, bounded in time; redirects are not followed. "" when it was taken (2xx)."""
    try:
        async with asyncio.timeout(2 * POST_WITHIN_S):
            return await asyncio.to_thread(_post, endpoint.url, body, headers)
    except TimeoutError:
        return f"no answer within {2 * POST_WITHIN_S:.0f} s"


def _post(url: str, body: bytes, headers: dict[str, str]) -> str:
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=POST_WITHIN_S,
                                                 context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=POST_WITHIN_S)
    with contextlib.closing(connection):
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            answer.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"[:300]
    return "" if 200 <= answer.status < 300 else f"answered {answer.status} {answer.reason}"[:300]
