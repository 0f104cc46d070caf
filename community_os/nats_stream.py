"""Stream over JetStream (I/O): the ordered store between ingest and worker, and keys with compare-and-set.

    publish ──Nats-Msg-Id──► stream TOCSIN  site.>   (file)      same id within 2 min is stored once
    read    ◄──ordered, own numbering checked── an ephemeral consumer, made anew wherever a number is missing,
                a heartbeat stays away, or the server restarts: no loss, no repeat, no reordering
    get/put ──expected revision──► bucket TOCSIN_state

Time-outs are real time: the server is no part of the demo's scaled world.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from community_os.broker_config import MAX_PAYLOAD_BYTES, MIB, BrokerAccess
from community_os.envelopes import STREAM
from community_os.nats_link import connect
from device_model.errors import LocalFault, PeerGarbled, PeerRefused, PeerSilent
from device_model.ports import StaleRevision, StreamMessage

BUCKET = f"{STREAM}_state"
# A request that was under way when the server died is noticed by this alone; trying again is safe (message ids).
ANSWER_WITHIN_S = 2.0
HEARTBEAT_S = 1.0
SILENT_AFTER_S = 3.5 * HEARTBEAT_S  # three heartbeats missed: the consumer or the server is gone
TRY_AGAIN_S = 0.25
START_WITHIN_S = 30.0
# A reader that stops taking is bounded by the server's flow control; this bounds what is on the way to it.
READ_AHEAD_MESSAGES = 8192
_WRONG_LAST_SEQUENCE = 10071
_NO_MESSAGE = 10037
_UNAVAILABLE = 503

_log = structlog.get_logger("tocsin.stream")


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the stream, oldest dropped first.

    max_age_s: the worker's checkpoint is seconds old and the ingest's too; 30 days let a person look back at
        what an incident was made of. max_bytes: about that much for a district after edge thinning.
    state_max_bytes: one checkpoint (< 1 MiB) per site, thousands of sites.
    duplicate_window_s: covers a gateway's longest repeat interval (30 s) four times.
    """

    max_age_s: float = 30 * 86400.0
    max_bytes: int = 4096 * MIB
    state_max_bytes: int = 1024 * MIB
    duplicate_window_s: float = 120.0
    replicas: int = 1


class JetStreamStream:
    """Implements `device_model.ports.Stream`. Use `JetStreamStream.open`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._nonce = secrets.token_hex(8)
        self._closed = False

    @classmethod
    async def open(
        cls, access: BrokerAccess, limits: StreamLimits | None = None, name: str = "stream",
    ) -> JetStreamStream:
        """Connect (for as long as it takes) and make stream and bucket where they are missing.

        Raises LocalFault when the server refuses the configuration or stays unready for 30 s.
        """
        stream = cls(await connect(access, name))
        try:
            async with asyncio.timeout(START_WITHIN_S):
                await stream._ensure(limits or StreamLimits())
        except (TimeoutError, nats.js.errors.Error, nats.errors.Error) as error:
            await stream.close()
            raise LocalFault(f"the stream {STREAM} cannot be made at the broker: {error}") from error
        return stream

    @property
    def connected(self) -> bool:
        """Whether the broker answers, as far as is known."""
        return bool(self._client.is_connected)

    async def close(self) -> None:
        """Disconnect; idempotent."""
        self._closed = True
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            await self._client.close()

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        """Store; see the port. Many may wait at once: each costs one round trip, not one turn.

        Raises PeerSilent when not known to be stored, PeerRefused when the server will never take it.
        """
        answer = await self._ask(subject, payload, {"Nats-Msg-Id": message_id, "Nats-Expected-Stream": STREAM})
        return _sequence(answer)

    async def read(self, after: int, subject_filter: str) -> AsyncIterator[StreamMessage]:
        """Messages after that sequence in order, then those that come, for ever, over every restart."""
        last = after
        while not self._closed:
            try:
                async with contextlib.aclosing(self._consume(last, subject_filter)) as messages:
                    async for message in messages:
                        last = message.sequence
                        yield message
            except (PeerSilent, PeerGarbled) as error:
                _log.debug("reader starts anew", after=last, filter=subject_filter, reason=str(error))
                await asyncio.sleep(TRY_AGAIN_S)

    async def last_sequence(self) -> int:
        """The newest message's sequence; 0 when empty. Raises PeerSilent."""
        answer = await self._ask(f"$JS.API.STREAM.INFO.{STREAM}", b"")
        return msgspec.convert(answer, _StreamInfo).state.last_seq

    async def get(self, key: str) -> tuple[bytes, int] | None:
        """A key's value and revision, or None. Raises PeerSilent."""
        message = await self._newest(key)
        return None if message is None else (message.data, message.seq)

    async def put(self, key: str, value: bytes, *, expected_revision: int) -> int:
        """Write if the key still has that revision; see the port. Raises StaleRevision, PeerSilent.

        After a PeerSilent the same call may be made again: a write of this very instance that was stored after
        all is recognised by its message id and not taken for somebody else's.
        """
        digest = hashlib.sha256(value).hexdigest()[:24]
        message_id = f"{key}:{expected_revision}:{digest}:{self._nonce}"
        headers = {"Nats-Expected-Last-Subject-Sequence": str(expected_revision), "Nats-Msg-Id": message_id}
        try:
            return _sequence(await self._ask(_key_subject(key), value, headers))
        except StaleRevision:
            present = await self._newest(key)
            if present is not None and f"Nats-Msg-Id: {message_id}\r".encode() in present.hdrs:
                return present.seq
            raise

    async def _newest(self, key: str) -> _StoredMessage | None:
        request = json.dumps({"last_by_subj": _key_subject(key)}).encode()
        try:
            answer = await self._ask(f"$JS.API.STREAM.MSG.GET.KV_{BUCKET}", request)
        except _NoMessage:
            return None
        return msgspec.convert(answer["message"], _StoredMessage)

    async def _ensure(self, limits: StreamLimits) -> None:
        wanted = (
            StreamConfig(
                name=STREAM, subjects=["site.>"], storage=StorageType.FILE, retention=RetentionPolicy.LIMITS,
                discard=DiscardPolicy.OLD, max_age=limits.max_age_s, max_bytes=limits.max_bytes,
                max_msg_size=MAX_PAYLOAD_BYTES, duplicate_window=limits.duplicate_window_s,
                num_replicas=limits.replicas, deny_delete=True,
            ),
            # A bucket is a stream of one message per subject; written so, its revisions are plain sequences.
            StreamConfig(
                name=f"KV_{BUCKET}", subjects=[f"$KV.{BUCKET}.>"], storage=StorageType.FILE,
                max_msgs_per_subject=1, max_bytes=limits.state_max_bytes, max_msg_size=MAX_PAYLOAD_BYTES,
                discard=DiscardPolicy.NEW, duplicate_window=limits.duplicate_window_s,
                num_replicas=limits.replicas, allow_rollup_hdrs=True, deny_delete=True,
            ),
        )
        context = self._client.jetstream(timeout=ANSWER_WITHIN_S)
        for config in wanted:
            while True:
                try:
                    # Creating what exists would reserve its space twice and be refused for want of it.
                    try:
                        await context.stream_info(str(config.name))
                    except nats.js.errors.NotFoundError:
                        await context.add_stream(config)
                    else:
                        await context.update_stream(config)
                    break
                except (nats.js.errors.NoStreamResponseError, nats.js.errors.ServiceUnavailableError,
                        nats.errors.NoRespondersError, nats.errors.TimeoutError):
                    await asyncio.sleep(TRY_AGAIN_S)  # the server is still opening its store

    async def _ask(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None,
    ) -> dict[str, object]:
        """One request to JetStream and its answer; errors become those of the port."""
        if not self._client.is_connected:
            raise PeerSilent("the broker is not connected")
        try:
            reply = await self._client.request(subject, payload, timeout=ANSWER_WITHIN_S, headers=headers)
            answer = json.loads(reply.data)
        except (nats.errors.MaxPayloadError, nats.errors.BadSubjectError) as error:
            raise PeerRefused(f"the broker does not take it: {error}") from error
        except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
            raise PeerSilent(f"no answer from the stream: {type(error).__name__} {error}") from error
        failure = answer.get("error")
        if failure is None:
            return dict(answer)
        if failure.get("err_code") == _WRONG_LAST_SEQUENCE:
            raise StaleRevision(str(failure.get("description")))
        if failure.get("err_code") == _NO_MESSAGE:
            raise _NoMessage
        if failure.get("code") == _UNAVAILABLE:
            raise PeerSilent(f"the stream is not ready: {failure.get('description')}")
        raise PeerRefused(f"the stream refuses: {failure.get('description')}", int(failure.get("err_code", 0)))

    async def _consume(self, after: int, subject_filter: str) -> AsyncGenerator[StreamMessage, None]:
        """One life of an ephemeral consumer. Raises PeerSilent or PeerGarbled where it must be made anew."""
        if not self._client.is_connected:
            raise PeerSilent("the broker is not connected")
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(
            inbox, pending_msgs_limit=READ_AHEAD_MESSAGES, pending_bytes_limit=64 * MIB,
        )
        name = f"r{secrets.token_hex(8)}"
        try:
            request = _consumer_request(name, inbox, after, subject_filter)
            await self._ask(f"$JS.API.CONSUMER.CREATE.{STREAM}.{name}.{subject_filter}", request)
            expected = 0
            while True:
                message = await _next(subscription)
                if message.headers and "Status" in message.headers:
                    await self._answer_status(message, expected)
                    continue
                expected += 1
                stored = _numbered(message, expected)
                yield stored
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()
            # The server forgets the consumer by itself (inactive_threshold); asking is only tidier.
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._client.publish(f"$JS.API.CONSUMER.DELETE.{STREAM}.{name}", b"")

    async def _answer_status(self, message: Msg, expected: int) -> None:
        """A heartbeat says how far the server has sent; a flow control message wants an answer."""
        headers = message.headers or {}
        if headers.get("Status") != "100":
            raise PeerSilent(f"the consumer ended: {headers}")
        if message.reply:
            await self._client.publish(message.reply, b"")
        elif stalled := headers.get("Nats-Consumer-Stalled"):
            await self._client.publish(stalled, b"")
        sent = headers.get("Nats-Last-Consumer")
        if sent is not None and int(sent) > expected:
            raise PeerGarbled(f"{int(sent) - expected} messages are missing before number {sent}")


class _NoMessage(PeerRefused):
    """The key does not exist."""

    def __init__(self) -> None:
        super().__init__("no message", _NO_MESSAGE)


class _StreamState(msgspec.Struct, frozen=True):
    last_seq: int


class _StreamInfo(msgspec.Struct, frozen=True):
    """The part of STREAM.INFO's answer that is wanted."""

    state: _StreamState


class _StoredMessage(msgspec.Struct, frozen=True):
    """What STREAM.MSG.GET answers; headers and data travel as base64."""

    seq: int
    hdrs: bytes = b""
    data: bytes = b""


def _key_subject(key: str) -> str:
    if not key or any(letter not in _KEY_LETTERS for letter in key) or key[0] == "." or key[-1] == ".":
        raise ValueError(f"{key!r} cannot be a key: letters, digits and -/_=. only")
    return f"$KV.{BUCKET}.{key}"


_KEY_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/_=.")


def _sequence(answer: dict[str, object]) -> int:
    sequence = answer.get("seq")
    if not isinstance(sequence, int):
        raise PeerSilent(f"the stream's answer holds no sequence: {answer}")
    return sequence


def _consumer_request(name: str, inbox: str, after: int, subject_filter: str) -> bytes:
    return json.dumps({
        "stream_name": STREAM,
        "config": {
            "name": name, "deliver_subject": inbox, "deliver_policy": "by_start_sequence",
            "opt_start_seq": after + 1, "ack_policy": "none", "max_deliver": 1, "replay_policy": "instant",
            "filter_subject": subject_filter, "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT_S * 1e9), "inactive_threshold": int(30e9),
            "mem_storage": True, "num_replicas": 1,
        },
    }).encode()


async def _next(subscription: Subscription) -> Msg:
    try:
        return await subscription.next_msg(timeout=SILENT_AFTER_S)
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise PeerSilent(f"the consumer is silent: {type(error).__name__}") from error


def _numbered(message: Msg, expected: int) -> StreamMessage:
    """The message with its stream sequence, if it is the consumer's `expected` one.

    The numbers stand in the reply subject: $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>…
    with two more tokens (domain, account) before the stream on newer servers in some set-ups.
    """
    tokens = str(message.reply).split(".")
    if len(tokens) < 9 or tokens[:2] != ["$JS", "ACK"]:
        raise PeerGarbled(f"not a stream message: {message.reply!r}")
    at = 2 if len(tokens) == 9 else 4
    stream_sequence, consumer_sequence = int(tokens[at + 3]), int(tokens[at + 4])
    if consumer_sequence != expected:
        raise PeerGarbled(f"message {consumer_sequence} where {expected} was due")
    return StreamMessage(stream_sequence, str(message.subject), bytes(message.data))
