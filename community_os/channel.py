"""Channels of people (I/O): DingTalk, WeCom, Feishu, mail, SMS gateways … whatever apprise has an address for.

    notice ──► words (notice_words) ──► a thread of the channel's own ──► apprise ──► "" or why not, without secrets
                                          └ one that hangs holds up itself alone: its next try waits for its end

apprise calls DingTalk's and WeCom's "200, errcode 310000" sent; we look at what they answered. Addresses come from a
file or the environment, never from cloud.yaml, and no part of one stands in a log, a row or a page.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from community_os.notice_words import Audience, Words, both, words_of
from community_os.signed_robots import with_signature
from device_model.errors import LocalFault

WITHIN_S = 20.0
CONNECT_S, READ_S = 5.0, 10.0
REASON_MAX = 300
_SCHEMA = re.compile(r"[a-z][a-z0-9]*://")
# Where a service says in a field of its answer that it did not take a message, though it answers 200.
_SAYS_NO = {"dingtalk": "errcode", "wecombot": "errcode", "feishu": "code", "lark": "code"}


class Channel:
    """One address of apprise with its own thread. Owned by the notifier, or by one command."""

    def __init__(self, name: str, url: str, *, language: str = "zh", audience: Audience = Audience.PROPERTY,
                 pages: str = "", within_s: float = WITHIN_S) -> None:
        """url: of apprise. language: zh, en or both. Raises LocalFault where apprise knows no such address."""
        self.name, self._language, self._audience = name, language, audience
        self._pages, self._within_s = pages, within_s
        self._schema = url.partition("://")[0].lower()
        self._secrets = _secrets(url)
        self._target = _open(name, url)
        self._thread = ThreadPoolExecutor(1, f"channel {name}")
        self._running: Future[str] | None = None

    def words(self, event: Mapping[str, Any]) -> Words:
        """What people read of an event."""
        if self._language == "both":
            return both(event, self._audience, pages=self._pages)
        return words_of(event, self._audience, self._language, pages=self._pages)

    async def send(self, body: bytes) -> str:
        """One try: "" when the service took it, else why not. body: a CloudEvent in JSON."""
        try:
            event = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            return f"not an event: {error}"
        return await self.say(self.words(event if isinstance(event, dict) else {}))

    async def say(self, words: Words) -> str:
        """The same with the words made."""
        if self._running is not None and not self._running.done():
            return "the try before still hangs"
        self._running = self._thread.submit(self._send, words)
        try:
            async with asyncio.timeout(self._within_s):
                return await asyncio.shield(asyncio.wrap_future(self._running))
        except TimeoutError:
            return f"no answer within {self._within_s:g} s"

    def close(self) -> None:
        """Let the thread go; one that hangs ends with the process."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    # --- in the thread ------------------------------------------------------------------------------------

    def _send(self, words: Words) -> str:
        import apprise

        kind = apprise.NotifyType.FAILURE if words.urgent else apprise.NotifyType.INFO
        with _Watch() as watch:
            try:
                sent = self._target.notify(title=words.title, body=words.body, notify_type=kind)
            except Exception as error:  # noqa: BLE001  # plugins of many hands: a bug in one is a failed try, no more
                return self._hide(f"{type(error).__name__}: {error}")
        refused = watch.refusal(_SAYS_NO.get(self._schema, ""))
        if sent and not refused:
            return ""
        return self._hide(refused or watch.said() or "the service did not take it")

    def _hide(self, reason: str) -> str:
        for secret in self._secrets:
            reason = reason.replace(secret, "…")
        return " ".join(reason.split())[:REASON_MAX]


def read_url(name: str, url_file: str, url_env: str, environment: Mapping[str, str] = os.environ) -> str:
    """The address of a channel, out of its file (one line) or the environment. LocalFault says what is missing,
    never what stands there."""
    if url_file:
        try:
            text = Path(url_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "no text"
            raise LocalFault(f"channel {name}: {url_file} cannot be read ({why}); it holds one line, an address of "
                             "apprise") from error
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    else:
        lines = [environment.get(url_env, "").strip()]
    if len(lines) != 1 or not _SCHEMA.match(lines[0]):
        place = url_file or f"the environment's {url_env}"
        raise LocalFault(f"channel {name}: {place} must hold one address of apprise, such as dingtalk://… or "
                         "mailtos://…")
    return lines[0]


def _open(name: str, url: str) -> Any:
    import apprise

    # Its own lines may name addresses: ours say what is needed. Without any handler Python would print them.
    logger = logging.getLogger("apprise")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    asset = apprise.AppriseAsset(app_id="Tocsin", app_desc="Tocsin", async_mode=False, secure_logging=True,
                                 plugin_paths=[])
    timed = f"{url}{'&' if '?' in url else '?'}cto={CONNECT_S:g}&rto={READ_S:g}"
    target = apprise.Apprise.instantiate(timed, asset=asset, suppress_exceptions=True)
    if target is None:
        raise LocalFault(f"channel {name}: apprise knows no such address, or it is not whole; its schema is "
                         f"{url.partition('://')[0]!r} (see its list of services)")
    # apprise would hold back each message for 5.5 s after the one before: a fire does not wait, and notice_flood.py
    # counts the others.
    target.request_rate_per_sec = 0
    return with_signature(url.partition("://")[0].lower(), target)


def _secrets(url: str) -> tuple[str, ...]:
    """Parts of an address that must not be seen, the longest first."""
    parts = urlsplit(url)
    found = {url, url.partition("://")[2], parts.username or "", parts.password or "", parts.netloc,
             *parts.path.split("/"), *re.split(r"[&=]", parts.query)}
    found |= {unquote(part) for part in found}
    return tuple(sorted((part for part in found if len(part) >= 6), key=len, reverse=True))


# --- what a plugin says and hears --------------------------------------------------------------------------------


class _Seen(threading.local):
    """What the running try of this thread has seen."""

    def __init__(self) -> None:
        self.watch: _Watch | None = None


_seen = _Seen()


class _Watch(logging.Handler):
    """Hears the plugin's warnings and the answers that requests got, in this thread alone."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []
        self._answers: list[dict[str, Any]] = []
        self._status = 0

    def __enter__(self) -> _Watch:
        _listen_to_requests()
        _seen.watch = self
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)
        _seen.watch = None

    def emit(self, record: logging.LogRecord) -> None:
        """A line of the plugin."""
        if _seen.watch is self:
            self._lines.append(record.getMessage())

    def heard(self, status: int, body: bytes) -> None:
        """One answer."""
        self._status = status
        try:
            answer = msgspec.json.decode(body)
        except msgspec.DecodeError:
            return
        if isinstance(answer, dict):
            self._answers.append(answer)

    def refusal(self, field: str) -> str:
        """What a service says beside its 200; "" when it took the message."""
        for answer in self._answers if field else ():
            if answer.get(field) not in (None, 0, "0"):
                return f"refused: {field} {answer.get(field)} {answer.get('errmsg') or answer.get('msg') or ''}"
        return ""

    def said(self) -> str:
        """The plugin's last words."""
        return self._lines[-1] if self._lines else (f"answered {self._status}" if self._status else "")


_patched = threading.Lock()
_ANSWER_BYTES_MAX = 4_000


def _listen_to_requests() -> None:
    """Let answers pass by the watch of their thread. apprise gives its plugins' answers to nobody, and makes its
    sessions where they cannot be reached."""
    import requests

    with _patched:
        before: Callable[..., Any] = requests.Session.send
        if getattr(before, "of_tocsin", False):
            return

        def send(session: Any, request: Any, **how: Any) -> Any:
            answer = before(session, request, **how)
            if _seen.watch is not None:
                _seen.watch.heard(answer.status_code, answer.content[:_ANSWER_BYTES_MAX])
            return answer

        send.of_tocsin = True  # type: ignore[attr-defined]  # the mark by which it is put in once
        setattr(requests.Session, "send", send)  # noqa: B010  # a typed assignment cannot say it
