"""Channels of people: real mail and HTTP peers, words by audience and stage, floods, secrets that stay secret."""

from __future__ import annotations

import asyncio
import base64
import email
import hmac
import http.server
import json
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from email.policy import default
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from community_os.channel import Channel, read_url
from community_os.channel_commands import try_channel
from community_os.notice_flood import Flood
from community_os.notice_store import Notice, NoticeStatus, NoticeStore
from community_os.notice_words import Audience, Stage, words_of
from community_os.notifier import Endpoint, Notifier
from community_os.settings import parse_cloud
from community_os.site_worker import SiteWorker
from community_os.store import IncidentStore, inline
from community_os.store_changes import NoticeRow, SiteCommit
from device_model.clock import MINUTE_US, SECOND_US
from device_model.errors import ConfigError, LocalFault, PeerRefused
from device_model.messages import AlarmRecord
from tests.community_os.site_messages import PATH, rows, up
from tests.community_os.test_notices import FILES, Heard, Stopped
from tests.rules_engine.incident_house import INVENTORY, T0, step

SECRET = "s3cr3tt0ken0123456789"


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "n1", "type": f"tocsin.{kind}.v1", "data": data}


FIRE = event(
    "notification", state="firing", life_safety=True, firing=1, resolved=0, incident="i-1",
    site_name={"en": "Riverside", "zh": "河畔"}, address={"en": "1 River Road", "zh": "河滨路1号"},
    places={"b1-301": {"en": "Flat 301", "zh": "301室"}},
    alarms=[{"labels": {"hazard": "fire", "severity": "critical", "zone": "b1-301", "site": "riverside"}}])
CLEAR = event("notification", **{**FIRE["data"], "state": "resolved", "firing": 0, "resolved": 1})
DRILL = event("notification", **{**FIRE["data"], "alarms": [{"labels": {
    **FIRE["data"]["alarms"][0]["labels"], "drill": "yes"}}]})
CALL = event("call", hazard="fire", people=["li", "wang"], step=1, policy="life_safety", incident="i-1",
             site_name={"en": "Riverside", "zh": "河畔"}, place={"en": "Flat 301", "zh": "301室"})
QUEUED = event("incident", what="queued", hazard="fire", verified=True, incident="i-1",
               site_name={"en": "Riverside", "zh": "河畔"}, place={"en": "Flat 301", "zh": "301室"})
ROTA = event("rota", what="swap", rota="property-duty", rota_title={"en": "Property duty", "zh": "物业值班"},
             day="2026-11-23", shift="night", leaving="Li", coming="Wang", why="ill")
TEST = event("test", channel="duty-phones")


# --- words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audience", list(Audience))
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_stage_has_words_for_every_audience(audience: Audience, language: str) -> None:
    stages = {Stage.ALARM: FIRE, Stage.ALL_CLEAR: CLEAR, Stage.ESCALATION: CALL, Stage.UPDATE: QUEUED,
              Stage.DUTY: ROTA, Stage.TEST: TEST}
    for stage, one in stages.items():
        words = words_of(one, audience, language, pages="https://pages.example/")
        assert words.stage is stage and words.title and words.body
        chinese = re.search(r"[\u4e00-\u9fff]", words.title + words.body)
        assert bool(chinese) == (language == "zh"), words
        assert ("https://pages.example/incidents/i-1" in words.body) == ("incident" in one["data"])


def test_an_alarm_says_where_and_that_it_is_not_verified_and_a_drill_says_so_first() -> None:
    alarm = words_of(FIRE, Audience.RESIDENT, "en")
    assert alarm.title == "ALARM · Fire · Riverside Flat 301" and alarm.urgent
    assert all(said in alarm.body for said in ("Not verified yet: treat it as real.", "119", "1 River Road"))
    drill = words_of(DRILL, Audience.PROPERTY, "zh")
    assert drill.title.startswith("演练") and drill.body.startswith("演练") and "尚未核实" not in drill.body
    assert "Called: li, wang. Step 2" in words_of(CALL, Audience.PROPERTY, "en").body
    assert "Li → Wang" in words_of(ROTA, Audience.PROPERTY, "en").body
    summary = words_of(event("digest", events=[QUEUED, FIRE, FIRE], count=9), Audience.OFFICER, "en")
    assert summary.urgent and summary.body.splitlines() == [
        "Update · Fire · Riverside Flat 301", "ALARM · Fire · Riverside Flat 301 ×2", "and 6 more"]


@given(st.recursive(st.none() | st.integers() | st.text(max_size=20), lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["type", "data", "alarms", "labels", "events", "places",
                                                       "people"]), inner, max_size=4), max_leaves=12),
       st.sampled_from(list(Audience)))
@settings(max_examples=200, deadline=None)
def test_whatever_an_event_holds_words_come_of_it(data: Any, audience: Audience) -> None:
    for kind in ("notification", "incident", "call", "rota", "digest", "other"):
        content = data if isinstance(data, dict) else {"x": data}
        assert words_of({"type": f"tocsin.{kind}.v1", "data": content}, audience, "zh").title is not None


def test_notifications_of_a_site_name_its_places() -> None:
    effects = SiteWorker(INVENTORY, {}, None, T0, FILES).step(up(AlarmRecord(step())))
    body = json.loads(rows(effects, NoticeRow)[0].body)
    words = words_of(body, Audience.PROPERTY, "en")
    zone = INVENTORY.site.zone("b1-0")
    assert zone is not None and zone.name.en in words.title


# --- floods -----------------------------------------------------------------------------------------------------


def test_the_rest_goes_as_one_and_fire_never_waits() -> None:
    flood: Flood = Flood(5)
    turn = flood.others(list(range(20)), T0)
    assert [len(group) for group in turn.groups] == [1, 1, 1, 1, 16] and not turn.later
    turn = flood.others([1, 2], T0 + SECOND_US)
    assert not turn.groups and turn.later == (1, 2) and turn.next_us > T0 + SECOND_US
    assert [len(g) for g in flood.others([1, 2], turn.next_us).groups] == [2]
    assert [len(g) for g in Flood.urgent(list(range(4)))] == [1] * 4
    assert [len(g) for g in Flood.urgent(list(range(100)))] == [1, 1, 1, 97]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 90)), max_size=30), st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_no_channel_gets_more_than_its_minute_allows_and_nothing_is_lost(
    turns: list[tuple[int, int]], per_minute: int,
) -> None:
    flood: Flood = Flood(per_minute)
    now_us, sent, messages = T0, 0, []
    waiting: list[int] = []
    for number, pause_s in [*turns, (0, 120), (0, 120)]:
        now_us += pause_s * SECOND_US
        waiting += range(number)
        turn = flood.others(waiting, now_us)
        messages += [now_us] * len(turn.groups)
        sent += sum(len(group) for group in turn.groups)
        waiting = list(turn.later)
    assert not waiting and sent == sum(number for number, _ in turns)
    for at_us in messages:
        assert sum(at_us <= other < at_us + MINUTE_US for other in messages) <= 2 * per_minute


class Said:
    """A channel that only remembers."""

    def __init__(self, reason: str = "") -> None:
        self.name, self.titles, self.reason = "duty", [], reason

    def words(self, one: dict[str, Any]) -> Any:
        return words_of(one, Audience.PROPERTY, "en")

    async def send(self, body: bytes) -> str:
        return await self.say(self.words(msgspec.json.decode(body)))

    async def say(self, words: Any) -> str:
        self.titles.append((words.title, words.urgent))
        return self.reason


def house(count: int, urgent: int = 0) -> NoticeStore:
    store = IncidentStore("sqlite://")
    store.open()
    water = event("notification", **{**FIRE["data"], "life_safety": False, "alarms": [
        {"labels": {"hazard": "water", "severity": "warning", "zone": "b1-301", "site": "riverside"}}]})
    rows_ = [NoticeRow(f"n{n:05}", PATH, "duty", "i", "notification", T0 + n, False, msgspec.json.encode(water))
             for n in range(count)]
    fire = msgspec.json.encode(FIRE)
    rows_ += [NoticeRow(f"u{n:05}", PATH, "duty", "i", "notification", T0 + count + n, True, fire)
              for n in range(urgent)]
    store.apply([SiteCommit(PATH, 1, tuple(rows_))])
    return NoticeStore(store)


def notifier(notices: NoticeStore, clock: Stopped, channel: Said) -> Notifier:
    async def post(*_: object) -> str:
        raise AssertionError("not a webhook")

    return Notifier(notices, inline, Heard(), clock, post=post, jitter=lambda: 1.0,  # type: ignore[arg-type]  # only publish
                    endpoints={"duty": Endpoint("duty", "", None, channel, 10)})  # type: ignore[arg-type]  # its two methods


async def test_a_flood_is_few_messages_and_the_fire_in_it_is_the_first() -> None:
    notices, clock, channel = house(150, urgent=6), Stopped(), Said()
    sender = notifier(notices, clock, channel)
    await sender.once()
    await sender.settled()
    assert [urgent for _, urgent in channel.titles[:4]] == [True] * 4 and len(channel.titles) == 14
    assert not notices.listed(NoticeStatus.WAITING) and len(notices.listed(NoticeStatus.SENT)) == 156
    assert channel.titles[3][0].endswith(": 3") and channel.titles[-1][0].endswith(": 141")


async def test_more_than_may_wait_is_given_up_with_its_reason_but_no_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("community_os.notice_store.WAITING_MAX", 40)
    notices, clock, channel = house(100, urgent=60), Stopped(), Said("answered 503")
    sender = notifier(notices, clock, channel)
    for _ in range(3):
        await sender.once()
        await sender.settled()
        clock.us += SECOND_US
    channel.reason = ""
    clock.us += MINUTE_US
    for _ in range(3):
        await sender.once()
        await sender.settled()
        clock.us += MINUTE_US
    dead = notices.listed(NoticeStatus.DEAD, 500)
    assert len(dead) == 60 and not any(n.urgent for n in dead) and "more than 40 waited" in dead[0].reason
    assert len(notices.listed(NoticeStatus.SENT, 500)) == 100


async def test_what_a_channel_refuses_is_tried_again_and_given_up_after_a_day() -> None:
    notices, clock, channel = house(1), Stopped(), Said("refused: errcode 310000 keywords")
    sender = notifier(notices, clock, channel)
    await sender.once()
    await sender.settled()
    (waits,) = notices.listed(NoticeStatus.WAITING)
    assert waits.attempts == 1 and "310000" in waits.reason
    clock.us += 90_000 * SECOND_US
    await sender.once()
    await sender.settled()
    assert [n.id for n in notices.listed(NoticeStatus.DEAD)] == ["n00000"] and isinstance(waits, Notice)


# --- real peers -------------------------------------------------------------------------------------------------


class Web:
    """Stands for the services' HTTP: says what it is told to, and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: tuple[int, bytes] = (200, b'{"errcode":0,"errmsg":"ok","code":0}')
        self.hang = threading.Event()
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if "/hang" in self.path:
                    web.hang.wait(20)
                web.got.append((self.path, dict(self.headers), body))
                self.send_response(web.answer[0])
                self.send_header("content-length", str(len(web.answer[1])))
                self.end_headers()
                self.wfile.write(web.answer[1])

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.hang.set()
        self.server.shutdown()
        self.server.server_close()


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as a client needs."""

    kept: list[bytes] = []
    refuse = False

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline():
            word = line[:4].upper().strip()
            if word == b"DATA":
                self._say("354 go on")
                self.kept.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                self._say("250 taken")
            elif word == b"EHLO":
                self._say("250 here")
            elif word == b"RCPT" and self.refuse:
                self._say("550 no such box")
            elif word == b"QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    served = Web()
    yield served
    served.close()


@pytest.fixture
def mail() -> Iterator[int]:
    Mail.kept, Mail.refuse = [], False
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()


def aim(monkeypatch: pytest.MonkeyPatch, web: Web, plugin: str, name: str) -> None:
    """The service's own form, at our server: only its address differs."""
    module = __import__(f"apprise.plugins.{plugin}", fromlist=[name])
    cls = getattr(module, name)
    path = re.sub(r"^https://[^/]+", "", cls.notify_url)
    monkeypatch.setattr(cls, "notify_url", f"http://127.0.0.1:{web.port}{path}")


FORMS = [
    ("dingtalk", "NotifyDingTalk", f"dingtalk://{SECRET}/", lambda b: b["text"]["content"]),
    ("wecombot", "NotifyWeComBot", f"wecombot://{SECRET}", lambda b: b["text"]["content"]),
    ("feishu", "NotifyFeishu", f"feishu://{SECRET}/", lambda b: b["content"]["text"]),
]


@pytest.mark.real
@pytest.mark.parametrize(("plugin", "name", "url", "content"), FORMS, ids=[form[0] for form in FORMS])
async def test_the_forms_of_the_services_and_their_refusals(
    plugin: str, name: str, url: str, content: Any, web: Web, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    aim(monkeypatch, web, plugin, name)
    channel = Channel("duty", url, language="both")
    web.answer = (200, b'{"errcode":0,"errmsg":"ok","code":0}')
    assert await channel.send(msgspec.json.encode(FIRE)) == ""
    path, _, body = web.got[-1]
    said = content(json.loads(body))
    assert SECRET in path and "火警" in said and "Riverside Flat 301" in said
    web.answer = (200, b'{"errcode":310000,"errmsg":"keywords not in content","code":19021,"msg":"sign match fail"}')
    reason = await channel.send(msgspec.json.encode(FIRE))
    assert reason.startswith("refused: ") and ("310000" in reason or "19021" in reason)
    web.answer = (500, b"token " + SECRET.encode() + b" is bad")
    reason = await channel.send(msgspec.json.encode(FIRE))
    assert "500" in reason and SECRET not in reason + caplog.text
    channel.close()


ROBOT, ROBOT_DING = "SEC0123456789abcdef+/=", "SEC0123456789abcdef"


@pytest.mark.real
async def test_dingtalk_gets_the_body_and_the_signature_that_it_documents(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer makes the signature itself, as the service does, out of what came over the wire decoded once."""
    aim(monkeypatch, web, "dingtalk", "NotifyDingTalk")
    web.answer = (200, b'{"errcode":0,"errmsg":"ok"}')
    channel = Channel("duty", f"dingtalk://{ROBOT_DING}@{SECRET}/", language="zh")
    before_ms = time.time() * 1000
    assert await channel.send(msgspec.json.encode(FIRE)) == ""
    path, headers, raw = web.got[-1]
    asked = parse_qs(urlsplit(path).query)
    assert urlsplit(path).path == "/robot/send" and asked["access_token"] == [SECRET]
    stamp = asked["timestamp"][0]
    assert before_ms - 1 <= int(stamp) <= time.time() * 1000 + 1
    mine = base64.b64encode(hmac.digest(ROBOT_DING.encode(), f"{stamp}\n{ROBOT_DING}".encode(), "sha256")).decode()
    assert asked["sign"] == [mine]
    body = json.loads(raw)
    assert body["msgtype"] == "text" and "火警" in body["text"]["content"] and body["at"]["isAtAll"] is False
    assert headers["Content-Type"].startswith("application/json")
    web.answer = (200, b'{"errcode":310000,"errmsg":"sign not match"}')
    reason = await channel.send(msgspec.json.encode(FIRE))
    assert "sign not match" in reason and ROBOT_DING not in reason
    channel.close()


@pytest.mark.real
@pytest.mark.parametrize(("schema", "plugin", "name"), [("feishu", "feishu", "NotifyFeishu"),
                                                        ("lark", "lark", "NotifyLark")])
async def test_feishu_and_lark_get_the_body_and_the_signature_that_they_document(
    schema: str, plugin: str, name: str, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    aim(monkeypatch, web, plugin, name)
    web.answer = (200, b'{"code":0,"msg":"success"}')
    for secret in ("", ROBOT):
        signed = f"{quote(secret, safe='')}@" if secret else ""
        channel = Channel("duty", f"{schema}://{signed}{SECRET}/", language="en")
        assert await channel.send(msgspec.json.encode(FIRE)) == ""
        path, headers, raw = web.got[-1]
        body = json.loads(raw)
        assert path.rstrip("/") == f"/open-apis/bot/v2/hook/{SECRET}"
        assert body["msg_type"] == "text" and "Riverside" in body["content"]["text"]
        assert headers["Content-Type"].startswith("application/json")
        assert ("sign" in body) == bool(secret)
        if secret:
            mine = hmac.digest(f"{body['timestamp']}\n{secret}".encode(), b"", "sha256")
            assert body["sign"] == base64.b64encode(mine).decode()
            assert abs(int(body["timestamp"]) - time.time()) < 3600
        channel.close()
    channel = Channel("duty", f"{schema}://{quote(ROBOT, safe='')}@{SECRET}/")
    web.answer = (200, b'{"code":19021,"msg":"sign match fail or timestamp is not within one hour"}')
    reason = await channel.send(msgspec.json.encode(FIRE))
    assert "19021" in reason and ROBOT not in reason and SECRET not in reason
    web.answer = (502, b"")
    assert "502" in await channel.send(msgspec.json.encode(FIRE))
    channel.close()


@pytest.mark.real
async def test_wecom_gets_the_body_that_it_documents(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    aim(monkeypatch, web, "wecombot", "NotifyWeComBot")
    web.answer = (200, b'{"errcode":0,"errmsg":"ok"}')
    channel = Channel("duty", f"wecombot://{SECRET}", language="zh")
    assert await channel.send(msgspec.json.encode(FIRE)) == ""
    path, _, raw = web.got[-1]
    assert urlsplit(path).path == "/cgi-bin/webhook/send" and parse_qs(urlsplit(path).query)["key"] == [SECRET]
    body = json.loads(raw)
    assert body["msgtype"] == "text" and "火警" in body["text"]["content"]
    assert len(body["text"]["content"].encode()) <= 2048, "more than the service takes of a text"
    channel.close()


@pytest.mark.real
async def test_an_sms_gateway_gets_its_form_and_its_credentials(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twilio's interface, which other gateways copy: Basic credentials, From, To and Body as a form, one a number."""
    module = __import__("apprise.plugins.twilio", fromlist=["NotifyTwilio"])
    for kind, address in vars(module.NotifyTwilio).items():
        if isinstance(address, str) and "api.twilio.com" in address:
            monkeypatch.setattr(module.NotifyTwilio, kind, address.replace(
                "https://api.twilio.com", f"http://127.0.0.1:{web.port}"))
    account, token = "AC" + "a" * 32, "b" * 32
    web.answer, before = (201, b'{"sid": "SM1", "status": "queued"}'), len(web.got)
    channel = Channel("sms", f"twilio://{account}:{token}@15551234567/8613800000001/8613800000002", language="en")
    assert await channel.send(msgspec.json.encode(FIRE)) == ""
    sent = web.got[before:]
    assert len(sent) == 2 and all(path == f"/2010-04-01/Accounts/{account}/Messages.json" for path, _, _ in sent)
    for _, headers, raw in sent:
        form = parse_qs(raw.decode())
        assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode() == f"{account}:{token}"
        assert form["From"] == ["+15551234567"] and "Riverside" in form["Body"][0]
    assert {parse_qs(raw.decode())["To"][0] for _, _, raw in sent} == {"+8613800000001", "+8613800000002"}
    web.answer = (401, b'{"code": 20003, "message": "Authenticate"}')
    reason = await channel.send(msgspec.json.encode(FIRE))
    assert reason and token not in reason
    channel.close()


@pytest.mark.real
async def test_any_address_of_apprise_json_and_form(web: Web) -> None:
    web.answer = (200, b"")
    for schema in ("json", "form"):
        channel = Channel("gateway", f"{schema}://user:{SECRET}@127.0.0.1:{web.port}/sms?:to=1", language="en")
        assert await channel.send(msgspec.json.encode(QUEUED)) == ""
        assert b"Riverside" in web.got[-1][2]
        web.answer = (401, SECRET.encode())
        assert SECRET not in (reason := await channel.send(msgspec.json.encode(QUEUED))) and reason
        assert await channel.send(b"\xff") != ""
        web.answer = (200, b"")
        channel.close()


@pytest.mark.real
async def test_mail_arrives_whole_and_a_refusal_has_its_reason(mail: int) -> None:
    url = f"mailto://127.0.0.1:{mail}?from=tocsin@example.org&to=duty@example.org&mode=insecure"
    channel = Channel("mail", url, language="zh")
    assert await channel.send(msgspec.json.encode(FIRE)) == ""
    letter = email.message_from_bytes(Mail.kept[0], policy=default)
    text = letter.get_body(("plain", "html")).get_content()  # type: ignore[union-attr]
    assert "报警 · 火警 · 河畔 301室" in str(letter["subject"]) and "尚未核实" in text
    assert "duty@example.org" in str(letter["to"])
    Mail.refuse = True
    assert await channel.send(msgspec.json.encode(FIRE)) != ""
    channel.close()


@pytest.mark.real
async def test_a_channel_that_hangs_delays_no_other(web: Web) -> None:
    web.answer, web.hang = (200, b""), threading.Event()
    hanging = [Channel(f"h{n}", f"json://127.0.0.1:{web.port}/hang", within_s=0.3) for n in range(12)]
    good = Channel("good", f"json://127.0.0.1:{web.port}/good", within_s=10)
    waiting = [asyncio.create_task(one.send(msgspec.json.encode(FIRE))) for one in hanging]
    await asyncio.sleep(0)
    assert await good.send(msgspec.json.encode(FIRE)) == ""
    assert not any(task.result() == "" for task in waiting if task.done())
    assert all("no answer within" in reason for reason in await asyncio.gather(*waiting))
    assert await hanging[0].send(msgspec.json.encode(FIRE)) == "the try before still hangs"
    web.hang.set()
    for one in (*hanging, good):
        one.close()


# --- addresses and settings -------------------------------------------------------------------------------------


def test_addresses_come_from_a_file_or_the_environment_and_are_never_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "ding").write_text(f"# the duty group\ndingtalk://{SECRET}/\n", encoding="utf-8")
    assert read_url("a", str(tmp_path / "ding"), "") == f"dingtalk://{SECRET}/"
    assert read_url("a", "", "DING", {"DING": f"dingtalk://{SECRET}/"}) == f"dingtalk://{SECRET}/"
    (tmp_path / "two").write_text(f"dingtalk://{SECRET}/\n{SECRET}\n", encoding="utf-8")
    for how in ((str(tmp_path / "two"), ""), (str(tmp_path / "none"), ""), ("", "NONE")):
        with pytest.raises(LocalFault) as caught:
            read_url("a", *how, {})
        assert SECRET not in str(caught.value)
    with pytest.raises(LocalFault) as caught:
        Channel("a", f"nosuchthing://{SECRET}")
    assert SECRET not in str(caught.value) and "nosuchthing" in str(caught.value)
    with pytest.raises(LocalFault):
        Channel("a", f"mailtos://user:{SECRET}@")
    printed = capfd.readouterr()
    assert SECRET not in printed.out + printed.err


@pytest.mark.parametrize(("endpoint", "what"), [
    ("{name: a, kind: apprise, url: 'dingtalk://x'}", "holds secrets"),
    ("{name: a, kind: apprise}", "nobody knows where"),
    ("{name: a, kind: apprise, url_file: k, url_env: K}", "nobody knows where"),
    ("{name: a, kind: apprise, url_file: k, per_minute: 0}", "must be 1 or more"),
    ("{name: a, kind: apprise, url_file: k, language: fr}", "language"),
    ("{name: a, kind: apprise, url_file: k, audience: press}", "audience"),
])
def test_channels_are_whole_or_refused(endpoint: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        parse_cloud(f"endpoints: [{endpoint}]", "cloud.yaml")
    text = "pages: https://x.example\nendpoints: [{name: a, kind: apprise, url_file: k}]"
    good = parse_cloud(text, "etc/cloud.yaml")
    assert good.endpoints[0].url_file == "etc/k" and good.endpoints[0].per_minute == 20


@pytest.mark.real
def test_the_command_sends_a_test_message_and_says_what_came_of_it(web: Web, tmp_path: Path) -> None:
    import tocsin

    web.answer = (200, b"")
    (tmp_path / "gate").write_text(f"json://127.0.0.1:{web.port}/{SECRET}\n", encoding="utf-8")
    (tmp_path / "cloud.yaml").write_text(
        "endpoints: [{name: duty, kind: apprise, url_file: gate, language: both},\n"
        f"            {{name: hook, url: 'http://127.0.0.1:{web.port}/hook'}}]\n", encoding="utf-8")
    config = tmp_path / "cloud.yaml"
    assert try_channel(config, "duty").text().startswith("duty (apprise): taken after")
    assert "测试消息" in json.loads(web.got[-1][2])["title"]
    done = CliRunner().invoke(tocsin.app, ["cloud", "notices", "test", "hook", "--config", str(config), "--json"])
    assert done.exit_code == 0 and json.loads(done.output)["kind"] == "webhook"
    with pytest.raises(LocalFault, match="known: duty, hook"):
        try_channel(config, "other")
    web.answer = (403, SECRET.encode())
    with pytest.raises(PeerRefused) as caught:
        try_channel(config, "duty")
    assert "not taken" in str(caught.value) and SECRET not in str(caught.value)
